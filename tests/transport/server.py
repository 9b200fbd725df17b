"""A gateway on a real socket that misbehaves as it is told, and keeps count of what it acted on.

No framework: what leaves is bytes, so that a reply can be cut anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import socket
import struct
import time
from collections import Counter
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import parse_qs, urlsplit

from tests.support.waiting import until

from .behaviours import HEALTHY, Acts, Behaviour, Ends, Gap, Reads, Swaps, message

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping

    Script = Callable[["Request | None"], Behaviour]
    """What to do with a request; asked with None for each connection before anything is read from it."""

M_NUMBER: Final = "123456"
SECRET_KEY: Final = "toy-key-for-tests"
ROOT: Final = "/omipay/api"
_FIVE_MINUTES_MS: Final = 300_000
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Request:
    """One request as it came in."""

    method: str
    target: str
    headers: Mapping[str, str]

    @property
    def endpoint(self) -> str:
        """The last part of the path."""
        return urlsplit(self.target).path.rpartition("/")[2]

    @property
    def query(self) -> dict[str, str]:
        """The parameters."""
        return {name: values[0] for name, values in parse_qs(urlsplit(self.target).query).items()}

    @property
    def number(self) -> str:
        """What the merchant calls this order or refund; of a question, what is asked about."""
        query = self.query
        names = ("out_order_no", "out_refund_no", "order_no", "refund_no")
        return next((query[name] for name in names if name in query), "")

    @property
    def named(self) -> dict[str, str]:
        """What tells a reply to this request from that to any other."""
        if not self.is_money:
            return {"order_no": self.number, "out_order_no": f"OUT-{self.number}"}
        return {name: value for name, value in self.query.items() if name in ("out_order_no", "out_refund_no")}

    @property
    def is_money(self) -> bool:
        """Whether acting on it twice would hurt."""
        return not self.endpoint.startswith(("Query", "Get"))


def always(behaviour: Behaviour) -> Script:
    """The same with every request."""
    return lambda _: behaviour


def in_turn(*behaviours: Behaviour, then: Behaviour = HEALTHY) -> Script:
    """One after the other, each at the first moment that fits it."""
    left = list(behaviours)

    def script(request: Request | None) -> Behaviour:
        if left and (left[0].reads is Reads.WHOLE) == (request is not None):
            return left.pop(0)
        return then

    return script


def refusing_port() -> socket.socket:
    """A port of our own on which nobody listens, for as long as the socket is open."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    holder.bind(("127.0.0.1", 0))
    return holder


def listener_on(port: int, *, backlog: int = 512) -> socket.socket:
    """A socket that listens on a port held by :func:`refusing_port`."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(backlog)
    return listener


def url_of(port: int, scheme: str = "http") -> str:
    """The base URL of a gateway on this port."""
    return f"{scheme}://127.0.0.1:{port}{ROOT}"


@contextlib.contextmanager
def black_hole() -> Iterator[int]:
    """A port that answers no attempt to connect: a listener whose queue is full. (On Linux a full queue drops SYNs.)"""
    with socket.socket() as listener, contextlib.ExitStack() as fillers:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@dataclass
class Gateway:
    """The gateway: ``script`` says what it does with each request, ``acts`` how often it acted on each number."""

    script: Script = field(default=always(HEALTHY))
    tls: ssl.SSLContext | None = None
    time_ms: Callable[[], float] = lambda: time.time() * 1000
    sends_date: bool = True

    acts: Counter[str] = field(default_factory=Counter)
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    under_way: int = 0
    most_under_way: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """While it is clear, requests are read and nothing is answered."""

    swap_s: float = 0.05
    """For how long a reply waits for another one to change places with."""
    swapped: int = 0
    """How many pairs of replies have changed places."""

    _swapping: dict[str, tuple[bytes, asyncio.Future[bytes]]] = field(default_factory=dict)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self.gate.set()
        self.loop = asyncio.get_running_loop()
        self._holder = refusing_port()
        self.port: int = self._holder.getsockname()[1]
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.refuse()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._holder.close()

    @property
    def base_url(self) -> str:
        """What a session is given."""
        return url_of(self.port, "https" if self.tls else "http")

    @property
    def open_connections(self) -> int:
        """How many connections neither side has closed."""
        return len(self._writers)

    @property
    def numbers(self) -> list[str]:
        """The number of each request, in the order they came."""
        return [request.number for request in self.requests]

    async def listen(self) -> None:
        """Take connections (again)."""
        if self._server is None:
            self._server = await asyncio.start_server(self._connected, sock=listener_on(self.port), ssl=self.tls)

    def refuse(self) -> None:
        """Refuse new connections from now on; the port stays ours, and connections that are open stay open."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def say_at_once(self, said: bytes) -> None:
        """Send something on every open connection; it is in the client's socket when this returns."""
        for writer in self._writers:
            writer.write(said)
        time.sleep(0.01)  # the kernel has it, and nobody's event loop ran

    def hang_up_at_once(self) -> None:
        """End every open connection; the client's socket knows when this returns."""
        for writer in self._writers:
            with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as again:
                again.shutdown(socket.SHUT_WR)
        time.sleep(0.01)

    def say_unasked(self, said: bytes) -> None:
        """Send something on every open connection, and close it."""
        for writer in self._writers:
            writer.write(said)
            writer.close()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            behaviour = self.script(None)
            if behaviour.reads is Reads.WHOLE:
                owed: list[bytes] = []
                while await self._answer_one(reader, writer, owed):
                    pass
                return
            if behaviour.reads is Reads.PART:
                await reader.readexactly(10)
            await _end(behaviour, behaviour.says(b""), reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            self._writers.discard(writer)

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, owed: list[bytes]) -> bool:
        request = await _read_request(reader)
        self.requests.append(request)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self.gate.wait()
            behaviour = self.script(request)
            if behaviour.reads is not Reads.WHOLE:
                behaviour = HEALTHY
            reply = self._reply(request, behaviour)
            if behaviour.swaps is not Swaps.NOT:
                anywhere = behaviour.swaps is Swaps.ANYWHERE
                reply = await self._swap("" if anywhere else request.endpoint, reply)
        finally:
            self.under_way -= 1
        writer.writelines(owed)
        owed.clear()
        if behaviour.ends is Ends.OWES:
            owed.append(behaviour.says(reply))
            return True
        surplus = behaviour.surplus(reply)
        if surplus:
            return await _say_more(behaviour.gap, reply, surplus, writer)
        return await _end(behaviour, behaviour.says(reply), reader, writer)

    def _reply(self, request: Request, behaviour: Behaviour) -> bytes:
        headers = [f"Date: {formatdate(self.time_ms() / 1000, usegmt=True)}"] if self.sends_date else []
        refusal = self._refusal(request)
        if refusal is None and behaviour.acts is Acts.YES:
            self.acts[request.number] += 1
        elif refusal is None and behaviour.swaps is not Swaps.NOT:
            refusal = "NOT_ENOUGH"
        fields = _success(request) if refusal is None else {"return_code": "FAIL", "error_code": refusal}
        if behaviour.swaps is not Swaps.NOT:  # what names nobody could not be told from one's own
            fields |= request.named
        return message(json.dumps(fields).encode(), "200 OK", *headers)

    async def _swap(self, among: str, reply: bytes) -> bytes:
        """The reply of whoever swaps among the same next, and gets this one; its own if nobody comes soon."""
        if among in self._swapping:
            other, partner = self._swapping.pop(among)
            self.swapped += 1
            partner.set_result(reply)
            return other
        mine: asyncio.Future[bytes] = self.loop.create_future()
        self._swapping[among] = reply, mine
        await asyncio.wait([mine], timeout=self.swap_s)
        if mine.done():
            return mine.result()
        del self._swapping[among]
        return reply

    def _refusal(self, request: Request) -> str | None:
        query = request.query
        signed = "&".join([M_NUMBER, query["timestamp"], query["nonce_str"], SECRET_KEY])
        if query["sign"] != hashlib.md5(signed.encode(), usedforsecurity=False).hexdigest().upper():
            return "SIGN_ERROR"
        too_far = abs(int(query["timestamp"]) - self.time_ms()) >= _FIVE_MINUTES_MS
        return "SIGN_TIMEOUT" if too_far else None


def _success(request: Request) -> dict[str, object]:
    """The reply of a gateway in good order. The order's number is the merchant's own behind ``OM``."""
    query, order_no = request.query, f"OM-{request.number}"
    match request.endpoint:
        case "QueryOrder":
            order: dict[str, object] = {"result_code": "PAID", "order_no": query["order_no"]}
            fields = order | {"currency": "AUD", "amount": 100, "out_order_no": f"OUT-{request.number}"}
        case "Refund":
            fields = {"refund_no": order_no, "currency": "AUD", "amount": int(query["amount"])}
            fields["refund_time"] = "20260102030405"
        case "MakeScanOrder":
            fields = {"order_no": order_no, "out_order_no": request.number, "order_time": "20260102030405"}
        case _:
            fields = {"order_no": order_no, "qrcode": f"https://qr.example/{request.number}"}
            fields["pay_url"] = f"https://pay.example/?paycode={request.number}"
    return {"return_code": "SUCCESS"} | fields


async def _read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, target, headers)


async def _end(behaviour: Behaviour, said: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Say what is to be said and end as the behaviour has it. Returns whether the connection goes on."""
    if behaviour.ends is Ends.DRIPS:
        await _drip(said, writer)
        return False
    writer.write(said)
    await writer.drain()
    if behaviour.ends is Ends.HANGS:
        await reader.read()
    elif behaviour.ends is Ends.RESET:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        writer.transport.abort()
    return behaviour.ends is Ends.KEPT


async def _say_more(gap: Gap, reply: bytes, surplus: bytes, writer: asyncio.StreamWriter) -> bool:
    """Say a reply and something beyond it, and keep the connection."""
    if gap is Gap.NONE:
        writer.write(reply + surplus)
    elif gap is Gap.RECORD:
        writer.writelines([reply, surplus])
    else:
        writer.write(reply)
        await asyncio.sleep(0.003 if gap is Gap.PAUSE else 0)
        writer.write(surplus)
    await writer.drain()
    return True


async def _drip(said: bytes, writer: asyncio.StreamWriter) -> None:
    for index in range(len(said)):
        if writer.is_closing():
            return
        writer.write(said[index : index + 1])
        await asyncio.sleep(0.01)


async def settled(gateway: Gateway) -> None:
    """Return once every connection is closed, and the client could notice."""
    await until(lambda: gateway.open_connections == 0, "every connection to be closed")
    await asyncio.sleep(0.002)
