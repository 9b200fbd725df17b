"""Replies with headers that are not HTTP: what is clear about them is read, over real sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from omipay_async import OutcomeUnknown, PaymentDeclined
from omipay_async.transport.exchange import plain_head

from .behaviours import Behaviour, Ends, message
from .client import open_session, query, scan
from .server import always

if TYPE_CHECKING:
    from .conftest import Certified
    from .server import Gateway

DECLINED = b'{"return_code": "FAIL", "error_code": "NOT_ENOUGH"}'
ODD = [
    b"no colon",
    b": no name",
    b"A name: with a space",
    b"Name : with a space at its end",
    "姓名: 小明".encode(),
    b"X: zero\0",
    b"Transfer-Encoding: identity",
    b"transfer-encoding:  Identity ",
    b"Transfer-Encoding:",
    b"X: folded\r\n at once\r\nA name:\r\n\tand more",
    b"Date: Tue\0",
]


def says(said: bytes, ends: Ends = Ends.CLOSED) -> Behaviour:
    """A gateway that answers in these words."""
    return Behaviour("odd", says=lambda _: said, ends=ends)


def declined(*headers: bytes, status: bytes = b"HTTP/1.1 200 OK", ends: bytes = b"\r\n") -> bytes:
    length = b"Content-Length: %d" % len(DECLINED)
    return ends.join((status, *headers, length, b"", DECLINED))


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("ends", [b"\r\n", b"\n"])
async def test_an_odd_header_costs_no_knowledge_of_a_charge(
    wired: Gateway, certified: Certified, odd: bytes, ends: bytes
) -> None:
    """Wherever it stands, also after an interim reply, in the head of that, and in both."""
    interim = b"HTTP/1.1 103 Early Hints\r\n"
    async with open_session(wired, verify=certified.client) as omipay:
        for wire in (
            declined(odd, b"Content-Type: application/json", ends=ends),
            declined(b"X-A: b", odd, odd, ends=ends),
            interim + b"\r\n" + declined(odd, ends=ends),
            interim + odd + b"\r\n\r\n" + declined(ends=ends),
            interim + odd + b"\r\n\r\n" + declined(odd, ends=ends),
        ):
            wired.script = always(says(wire))
            with pytest.raises(PaymentDeclined):
                await scan(omipay, "A-1")


@pytest.mark.parametrize("blank", [b"\r\n", b"\n\r\n\n"])
async def test_blank_lines_before_a_reply_cost_no_knowledge_of_a_charge(
    wired: Gateway, certified: Certified, blank: bytes
) -> None:
    """Some programs end a reply with one too many. The connection is not used again."""
    interim = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    async with open_session(wired, verify=certified.client) as omipay:
        for wire in (blank + declined(), blank + declined(b"no colon"), interim + blank + declined(b"no colon")):
            wired.script = always(says(wire))
            with pytest.raises(PaymentDeclined):
                await scan(omipay, "A-1")
        for wire in (blank, interim + blank):
            wired.script = always(says(wire))
            with pytest.raises(OutcomeUnknown):
                await scan(omipay, "A-1")


@pytest.mark.parametrize(
    "wire",
    [
        declined(b"no colon", b"Content-Length: 3"),
        declined(b"no colon", b"Content-Length : 3"),
        declined(b"Transfer-Encoding: gzip"),
        declined(b"no colon", b"Transfer-Encoding : chunked"),
        declined(b"no colon", b"Transfer-Encoding: chunked, chunked"),
        declined(b"no colon", status=b"HTTP 200"),
        declined(b"no colon")[:60],
        b"no colon" * 20_000,
    ],
)
async def test_where_the_body_ends_must_be_clear(wired: Gateway, certified: Certified, wire: bytes) -> None:
    """Otherwise nobody knows what the reply is."""
    wired.script = always(says(wire))
    async with open_session(wired, verify=certified.client) as omipay:
        with pytest.raises(OutcomeUnknown):
            await scan(omipay, "A-1")


async def test_a_connection_with_an_odd_reply_is_not_used_again(wired: Gateway, certified: Certified) -> None:
    """A program that writes such headers may do other things wrong."""
    order = b'{"return_code": "SUCCESS", "result_code": "PAID", "currency": "AUD", "amount": 1}'
    async with open_session(wired, verify=certified.client) as omipay:
        for reply in (message(order, "200 OK", "no colon"), b"\r\n" + message(order, "200 OK")):
            wired.script = always(says(reply, Ends.KEPT))
            await query(omipay, "OM-1")
            await query(omipay, "OM-2")
    assert wired.connections == 4


@pytest.mark.parametrize(
    ("received", "plain"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n{}", b"HTTP/1.1 200 OK\r\n\r\n{}"),
        (b"HTTP/1.1 200 OK\nX: 1\nDATE: 2\n\n\n{}", b"HTTP/1.1 200 OK\r\nDATE: 2\r\n\r\n\n{}"),
        (b"HTTP/1.1 200 OK\r\nDate\0: 1\r\nConnection: close\r\n\r\n", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nDate: 1\r\n", None),
        (b"", None),
    ],
)
def test_the_head_that_is_read(received: bytes, plain: Any) -> None:
    """The status and the headers that are needed, and what follows them as it came."""
    assert plain_head(received) == plain
