"""Another process that shares a Redis with the test: ``python redis_worker.py URL WHAT [ORDER...]``."""

from __future__ import annotations

import asyncio
import sys

from omipay_async.clock import SystemClock
from omipay_async.fulfilment.guard import OnceGuard
from omipay_async.models import Order
from omipay_async.redis import RedisBackend


def say(line: str) -> None:
    """Print a line for the test."""
    print(line, flush=True)  # the test reads it


async def fulfil(backend: RedisBackend, numbers: list[str]) -> None:
    """Fulfil every order, and print those whose handlers ran here."""

    async def handler(order: Order) -> None:
        say(f"ran {order.order_no}")
        await asyncio.sleep(0.005)

    async def run(number: str) -> None:
        order = Order(order_no=number, status="PAID", out_order_no=None, currency="AUD", amount=1)
        await OnceGuard(backend, SystemClock(), "123456").run(order, handler, wait_timeout=None)

    await asyncio.gather(*map(run, numbers))


async def hang(backend: RedisBackend, number: str) -> None:
    """Begin an order and never end it."""

    async def handler(order: Order) -> None:
        say(f"began {order.order_no}")
        await asyncio.Event().wait()

    order = Order(order_no=number, status="PAID", out_order_no=None, currency="AUD", amount=1)
    await OnceGuard(backend, SystemClock(), "123456").run(order, handler, wait_timeout=None)


async def main(url: str, what: str, *numbers: str) -> None:
    """Do what the arguments say."""
    # Short if a test waits for its end, and long if it must not end on a busy machine.
    async with RedisBackend(url, lease=1.5 if what == "hang" else 30) as backend:
        if what == "hang":
            await hang(backend, numbers[0])
        elif what == "wake":
            await backend.wake(numbers[0])
        else:
            say("ready")
            await asyncio.to_thread(sys.stdin.readline)
            await fulfil(backend, list(numbers))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
