"""A shop's process that shares a backend with others: ``python -m tests.support.shop_process BACKEND BASE_URL KEY``.

Each line of its input asks for one call, as JSON: ``[[method of a session, arguments...], options]``. The calls run at
the same time. It prints a JSON object for each call that was begun, for each handler that ran and for each result.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any, Self

from omipay_async import AsyncOmipay, OmipayError, Order
from omipay_async.redis import RedisBackend
from omipay_async.sql import Books

if TYPE_CHECKING:
    from types import TracebackType


def report(**what: Any) -> None:
    """Print a report for the test."""
    print(json.dumps(what), flush=True)


async def ship(order: Order) -> None:
    """The handler."""
    report(ran=order.order_no)


async def do(omipay: AsyncOmipay, method: str, *arguments: Any, **options: Any) -> None:
    """Call a method of the session, and report how it ends."""
    if method in {"receive_notification", "settle"}:
        arguments = (*arguments, ship)
    report(begun=method)
    try:
        result = await getattr(omipay, method)(*arguments, **options)
    except OmipayError as error:
        report(method=method, error=repr(error))
        return
    order = result if isinstance(result, Order) else result.order
    report(method=method, order_no=order.order_no, out_order_no=order.out_order_no, is_paid=order.is_paid)


async def main(url: str, base_url: str, secret_key: str) -> None:
    """Serve until the input ends."""
    backend: Any = RedisBackend(url) if url.startswith("redis") else Books(url)
    async with (
        backend,
        AsyncOmipay("123456", secret_key, base_url=base_url, backend=backend) as omipay,
        asyncio.TaskGroup() as tasks,
    ):
        report(begun="process")
        while line := await asyncio.to_thread(sys.stdin.readline):
            (method, *arguments), options = json.loads(line)
            tasks.create_task(do(omipay, method, *arguments, **options))


class ShopProcess:
    """The process, for the test that started it."""

    def __init__(self, url: str, base_url: str, secret_key: str) -> None:
        self._arguments = (url, base_url, secret_key)
        self.ran: list[str] = []

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            __name__,
            *self._arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        await self.next("begun")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate()

    async def begin(self, method: str, *arguments: Any, **options: Any) -> None:
        """Begin a method of its session."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([[method, *arguments], options]).encode() + b"\n")
        await self.next("begun")

    async def next(self, kind: str = "method") -> dict[str, Any]:
        """Return its next report of this kind, and note the handlers that ran before it."""
        assert self._process.stdout is not None
        async with asyncio.timeout(60):
            while line := await self._process.stdout.readline():
                reported: dict[str, Any] = json.loads(line)
                if "ran" in reported:
                    self.ran.append(reported["ran"])
                if kind in reported:
                    return reported
        raise EOFError(kind)

    async def call(self, method: str, *arguments: Any, **options: Any) -> dict[str, Any]:
        """Call a method of its session, and return the result."""
        await self.begin(method, *arguments, **options)
        return await self.next()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
