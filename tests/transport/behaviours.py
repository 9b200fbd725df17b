"""How a gateway may treat one request, as data: how much it reads, whether it acts, what it sends, how it ends."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from email.utils import formatdate
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Reads(enum.Enum):
    """How much of a request is read."""

    NOTHING = enum.auto()
    PART = enum.auto()
    WHOLE = enum.auto()


class Acts(enum.Enum):
    """Whether the order is made or the refund paid."""

    YES = enum.auto()
    NO = enum.auto()


class Ends(enum.Enum):
    """What happens to the connection."""

    KEPT = enum.auto()
    CLOSED = enum.auto()
    RESET = enum.auto()
    HANGS = enum.auto()
    """Nothing more is said, and the connection stays open until the client gives up."""
    OWES = enum.auto()
    """The reply is said when the next request comes over the same connection, before the reply to that."""
    DRIPS = enum.auto()
    """What is said leaves byte by byte, too slowly to ever arrive."""


class Gap(enum.Enum):
    """The time between a reply and what is sent after it."""

    NONE = "the same segment"
    RECORD = "another TLS record of one write"
    SEGMENT = "another segment"
    PAUSE = "some milliseconds"


class Swaps(enum.Enum):
    """Whether the reply is exchanged with that of another request under way."""

    NOT = enum.auto()
    WITHIN_ENDPOINT = enum.auto()
    ANYWHERE = enum.auto()


def _as_it_is(reply: bytes) -> bytes:
    return reply


def _nothing(reply: bytes) -> bytes:
    del reply
    return b""


@dataclass(frozen=True)
class Behaviour:
    """What the gateway does with one request, or with one connection before it has read a request."""

    name: str
    reads: Reads = Reads.WHOLE
    acts: Acts = Acts.YES
    says: Callable[[bytes], bytes] = _as_it_is
    """What leaves instead of the proper reply, given that reply."""
    ends: Ends = Ends.KEPT
    surplus: Callable[[bytes], bytes] = _nothing
    """What is said beyond that, given the proper reply."""
    gap: Gap = Gap.NONE
    swaps: Swaps = Swaps.NOT

    def __str__(self) -> str:
        return self.name

    def without_acting(self) -> Behaviour:
        """The same behaviours, of a gateway that did not act."""
        return replace(self, name=f"{self.name}, not acted", acts=Acts.NO)


def message(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """A whole HTTP reply."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _always(reply: bytes) -> Callable[[bytes], bytes]:
    return lambda _: reply


def _until_headers(reply: bytes) -> bytes:
    return reply[: reply.index(b"\r\n\r\n") - 3]


def _with_close_header(reply: bytes) -> bytes:
    return reply.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)


_FAIL: Final = b'{"return_code": "FAIL", "error_code": "SYSTEM_ERROR", "error_msg": "busy"}'
_TIMED_OUT: Final = b'{"return_code": "FAIL", "error_code": "SIGN_TIMEOUT", "error_msg": "too old"}'
_BAD_CHUNKS: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nten\r\n{}\r\n0\r\n\r\n"
_PAGE: Final = b"<html><title>502 Bad Gateway</title></html>"

HEALTHY: Final = Behaviour("healthy")

ACCEPT_CLOSE: Final = Behaviour("accept and close", Reads.NOTHING, Acts.NO, _nothing, Ends.CLOSED)
ACCEPT_RESET: Final = Behaviour("accept and reset", Reads.NOTHING, Acts.NO, _nothing, Ends.RESET)
ACCEPT_HANG: Final = Behaviour("accept and read nothing", Reads.NOTHING, Acts.NO, _nothing, Ends.HANGS)
NO_TLS: Final = Behaviour(
    "plain HTTP instead of TLS", Reads.PART, Acts.NO, _always(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Ends.CLOSED
)
READ_PART_CLOSE: Final = Behaviour("read a part and close", Reads.PART, Acts.NO, _nothing, Ends.CLOSED)

ACT_CLOSE: Final = Behaviour("act and close", says=_nothing, ends=Ends.CLOSED)
ACT_RESET: Final = Behaviour("act and reset", says=_nothing, ends=Ends.RESET)
HALF_STATUS: Final = Behaviour("half a status line", says=lambda reply: reply[:9], ends=Ends.CLOSED)
HALF_HEADERS: Final = Behaviour("half the headers", says=_until_headers, ends=Ends.CLOSED)
HALF_BODY: Final = Behaviour("half the body", says=lambda reply: reply[:-9], ends=Ends.CLOSED)
HALF_BODY_RESET: Final = Behaviour("half the body and reset", says=lambda reply: reply[:-9], ends=Ends.RESET)
BAD_CHUNKS: Final = Behaviour("bad chunks", says=_always(_BAD_CHUNKS), ends=Ends.CLOSED)
NO_HTTP: Final = Behaviour("no HTTP", says=_always(b"+OK POP3 server ready\r\n\r\n"), ends=Ends.CLOSED)
SWITCHING: Final = Behaviour(
    "101 unasked", says=_always(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), ends=Ends.CLOSED
)
LATE: Final = Behaviour("late, into the next request", ends=Ends.OWES)
SILENCE: Final = Behaviour("silence", says=_nothing, ends=Ends.HANGS)
DRIP: Final = Behaviour("drip", ends=Ends.DRIPS)

HTML_502: Final = Behaviour("502 page", says=_always(message(_PAGE, "502 Bad Gateway")))
REDIRECT: Final = Behaviour("redirect", says=_always(message(b"", "302 Found", "Location: /omipay/api/v2/QueryOrder")))
EMPTY: Final = Behaviour("empty 200", says=_always(message(b"")))
NO_CONTENT: Final = Behaviour("204", says=_always(b"HTTP/1.1 204 No Content\r\n\r\n"))
GARBAGE: Final = Behaviour("garbage", says=_always(message(b'{"return_code": "SUCC')))
NO_OBJECT: Final = Behaviour("no object", says=_always(message(b'["SUCCESS"]')))
NO_VERDICT: Final = Behaviour("no return_code", says=_always(message(b'{"order_no": "OM1"}')))
HUGE: Final = Behaviour("3 MiB page", says=_always(message(b"<p>" * (1 << 20))))
SYSTEM_ERROR: Final = Behaviour("SYSTEM_ERROR", says=_always(message(_FAIL)))

SIGN_TIMEOUT: Final = Behaviour(
    "SIGN_TIMEOUT",
    acts=Acts.NO,
    says=lambda _: message(_TIMED_OUT, "200 OK", f"Date: {formatdate(usegmt=True)}"),
)
SIGN_TIMEOUT_UNDATED: Final = Behaviour("SIGN_TIMEOUT without Date", acts=Acts.NO, says=_always(message(_TIMED_OUT)))

CLOSES_AFTER_REPLY: Final = Behaviour("reply and close", says=_with_close_header, ends=Ends.CLOSED)
CLOSES_UNANNOUNCED: Final = Behaviour("reply as if kept alive and close", ends=Ends.CLOSED)
CONTINUE: Final = Behaviour("100 first", says=lambda reply: b"HTTP/1.1 100 Continue\r\n\r\n" + reply)
EARLY_HINTS: Final = Behaviour("103 first", says=lambda reply: b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + reply)
REPLIES_TWICE: Final = Behaviour("the reply twice", says=lambda reply: reply + reply)

_STALE: Final = {
    "its own reply again": _as_it_is,
    "a SIGN_TIMEOUT": _always(message(_TIMED_OUT, "200 OK", f"Date: {formatdate(1_500_000_000, usegmt=True)}")),
    "a refusal": _always(message(b'{"return_code": "FAIL", "error_code": "NOT_ENOUGH", "error_msg": "no"}')),
    "a line break": _always(b"\r\n"),
}
SURPLUS: Final = [
    Behaviour(f"{what} beyond the reply, in {gap.value}", surplus=surplus, gap=gap)
    for what, surplus in _STALE.items()
    for gap in Gap
]
"""Answered as it should be, and then with something that does not answer anything."""

SWAPPED: Final = [
    Behaviour("the reply of another request to the same endpoint", swaps=Swaps.WITHIN_ENDPOINT),
    Behaviour("the reply of another request to any endpoint", swaps=Swaps.ANYWHERE),
]
_AT_ODDS: Final = {
    "SUCCESS with a result_code that failed": b'{"return_code": "SUCCESS", "result_code": "FAILED", %b}',
    "SUCCESS with an error code": b'{"return_code": "SUCCESS", "error_code": "NOT_ENOUGH", %b}',
    "SUCCESS with success: false": b'{"return_code": "SUCCESS", "success": false, %b}',
    "SUCCESS, then FAIL": b'{"return_code": "SUCCESS", %b, "return_code": "FAIL", "error_code": "NOT_ENOUGH"}',
    "FAIL, then SUCCESS": b'{"return_code": "FAIL", "error_code": "NOT_ENOUGH", %b, "return_code": "SUCCESS"}',
    "FAIL with success: true": b'{"return_code": "FAIL", "error_code": "NOT_ENOUGH", "success": true, %b}',
    "FAIL of a paid order": b'{"return_code": "FAIL", "error_code": "NOT_ENOUGH", "result_code": "PAID", %b}',
    "SIGN_TIMEOUT with success: true": b'{"return_code": "FAIL", "error_code": "SIGN_TIMEOUT", "success": true, %b}',
}
_FIELDS: Final = (
    b'"order_no": "OM-1", "refund_no": "RF-1", "order_time": "20260102030405", "refund_time": "20260102030405", '
    b'"qrcode": "https://qr.example/1", "pay_url": "https://pay.example/1", "currency": "AUD", "amount": 450'
)
CONTRADICTORY: Final = [Behaviour(name, says=_always(message(body % _FIELDS))) for name, body in _AT_ODDS.items()]
"""Complete, and of two minds."""

BEFORE_READING: Final = (ACCEPT_CLOSE, ACCEPT_RESET, READ_PART_CLOSE)
"""Dropped before the request was read: seen from the client, it may have been acted on all the same."""
CUT: Final = (
    ACT_CLOSE,
    ACT_RESET,
    HALF_STATUS,
    HALF_HEADERS,
    HALF_BODY,
    HALF_BODY_RESET,
    BAD_CHUNKS,
    NO_HTTP,
    SWITCHING,
)
"""Read whole, and never answered whole."""
NO_REPLY: Final = (HTML_502, REDIRECT, EMPTY, NO_CONTENT, GARBAGE, NO_OBJECT, NO_VERDICT, HUGE)
"""Answered whole, with something that is not a reply."""
GOOD: Final = (HEALTHY, CLOSES_AFTER_REPLY, CLOSES_UNANNOUNCED, CONTINUE, EARLY_HINTS)
"""Answered, if oddly."""


def either_way(behaviours: Iterable[Behaviour]) -> list[Behaviour]:
    """Each behaviour, by a gateway that acted and by one that did not."""
    return [form for one in behaviours for form in (one, one.without_acting())]
