"""A gateway in another process that gives the same answers every time, so that only the client is measured.

A raw ``asyncio.Protocol`` with ready-made bytes; the first word of the path that it knows decides. ``--delay-ms`` holds
every reply back by that long, as a real gateway's distance does. It ends when its standard input does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import ssl
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

ROOT: Final = "/omipay/api"
UNPAID: Final = "UNPAID"
"""An order number with this in it is answered with READY: a poll that goes on."""
UNKNOWN: Final = "TRUNKNOWN"
"""An order number with this in it is answered with ORDER_NO_ERROR."""
SLOW: Final = "TRSLOW"
"""An order number with this in it is answered a second later than others."""
BROKEN: Final = "TRBROKEN"
"""An order number with this in it is answered with 502."""
_SLOW_S: Final = 1.0

ORDER: Final[Mapping[str, Any]] = {
    "return_code": "SUCCESS",
    "error_msg": None,
    "result_code": "PAID",
    "out_order_no": "T1-000231",
    "currency": "AUD",
    "amount": 450,
    "pay_currency": "CNY",
    "pay_amount": 2156,
    "order_time": "20181025101500",
    "pay_time": "20181025101523",
    "exchange_rate": 479111000,
}
SCAN_ORDER: Final[Mapping[str, Any]] = {
    "return_code": "SUCCESS",
    "order_no": "TR1812060010011263009795",
    "out_order_no": "T1-000231",
    "order_time": "20181025101523",
}
MODEL: Final[Mapping[str, Any]] = {"id": "m", "object": "model", "created": 1540426500, "owned_by": "bench"}


def reply(value: Mapping[str, Any], status: str = "200 OK") -> bytes:
    """A whole HTTP message."""
    body = json.dumps(value).encode()
    head = (
        f"HTTP/1.1 {status}\r\nServer: canned\r\nDate: Thu, 25 Oct 2018 00:15:23 GMT\r\n"
        f"Content-Type: application/json; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


_REPLIES: Final = (
    (UNPAID.encode(), reply({**ORDER, "result_code": "READY", "pay_time": ""})),
    (UNKNOWN.encode(), reply({"return_code": "FAIL", "error_code": "ORDER_NO_ERROR", "error_msg": "no such order"})),
    (BROKEN.encode(), reply({}, "502 Bad Gateway")),
    (b"/QueryOrder", reply(ORDER)),
    (b"/MakeScanOrder", reply(SCAN_ORDER)),
    (b"/v1/models", reply(MODEL)),
)


class Canned(asyncio.Protocol):
    """One connection."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._received = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:  # no request here has a body
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            late = _SLOW_S if SLOW.encode() in head else 0.0
            self._answer(next(reply for word, reply in _REPLIES if word in head), self._delay_s + late)

    def _answer(self, message: bytes, delay_s: float) -> None:
        assert self._transport is not None
        if delay_s:
            asyncio.get_running_loop().call_later(delay_s, self._transport.write, message)
        else:
            self._transport.write(message)


async def serve(delay_s: float, certificate: str | None = None) -> None:
    """Print the port, and answer until standard input ends; under TLS if there is the file of a certificate."""
    loop = asyncio.get_running_loop()
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    server = await loop.create_server(lambda: Canned(delay_s), "127.0.0.1", 0, backlog=4096, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = loop.create_future()
    loop.add_reader(sys.stdin, ended.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await ended


@contextlib.contextmanager
def running(delay_ms: int = 0, certificate: Path | None = None) -> Iterator[str]:
    """``http://127.0.0.1:PORT``, or ``https``, of a server in another process."""
    command = [sys.executable, "-m", "benchmarks.server", "--delay-ms", str(delay_ms)]
    command += [] if certificate is None else ["--certificate", str(certificate)]
    scheme = "http" if certificate is None else "https"
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"{scheme}://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.server", description=__doc__)
    parser.add_argument("--delay-ms", type=int, default=0)
    parser.add_argument("--certificate", help="a file with a certificate and its key")
    options = parser.parse_args()
    asyncio.run(serve(options.delay_ms / 1000, options.certificate))
