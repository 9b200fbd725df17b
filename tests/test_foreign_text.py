"""What the gateway or a stranger says never obeys, hides or turns round text: in errors, logs and events."""

from __future__ import annotations

import json
import logging
import traceback
from typing import TYPE_CHECKING, Any

import attrs
import httpx
import pytest

from omipay_async import AsyncOmipay, Event, InvalidRequest, OmipayError, RetryPolicy

from .support.canned_gateway import CALLS, Gateway, fail, open_session, success

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

# Not those of tests/protocol/test_redaction.py alone: tags, fillers and marks that are easily forgotten, too.
HOSTILE = (
    "\x00\x1b[31m\n\x7f\x85\x9b\xad\u061c\u180e\u200b\u200f\u202e\u2028\u2060\u2066\ufeff\ufff9\U0001d173\U000e0041"
)
INVISIBLE = set(HOSTILE) - set("[31m")
SENT = "TR\xad\u180e\u200b\u202e\u2066\ufeff\U000e0041"
"""A number that may be sent: the gateway's own may contain anything."""


def hostile_replies(endpoint: str) -> Iterator[Any]:
    """Replies that contain such characters wherever there is text."""
    good = success(endpoint)
    named = {"order_no": HOSTILE, "refund_no": HOSTILE, "out_order_no": HOSTILE, "out_refund_no": HOSTILE}
    texts = ("result_code", "currency", "amount", "pay_time", "rate", "exchange_rate", "openid", "return_code")
    yield good | named
    yield from (good | {name: HOSTILE} for name in (*named, *texts))
    yield good | {HOSTILE: HOSTILE, "result_code": f"NEW{HOSTILE}"}
    yield from (fail(code, error_msg=HOSTILE, order_no=HOSTILE) for code in (HOSTILE, "USERPAYING", "SYSTEM_ERROR"))
    yield from (fail(code, error_msg=HOSTILE, refund_no=HOSTILE) for code in ("NOT_ENOUGH", "AMOUNT_OVER_LIMIT"))
    yield b'{"return_code": "SUCCESS", "a\\u202e": 1, "a\\u202e": 2, "return_code": "\\ud800"}'
    yield HOSTILE.encode()
    yield httpx.Response(502, content=HOSTILE.encode())
    yield httpx.Response(302, headers={b"Location": f"https://x/{HOSTILE}".encode()})
    yield httpx.ConnectError(HOSTILE)
    yield httpx.ReadError(HOSTILE)


def said(error: BaseException) -> str:
    """What people see of an error, its causes included. Python's own line ends are not counted."""
    lines = traceback.format_exception(error)
    return "".join(line.replace("\n", "") for line in [*lines, str(error), repr(error), getattr(error, "excerpt", "")])


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """The log, with what records carry beside their text."""
    extra = [str(value) for each in caplog.records for name, value in vars(each).items() if name.startswith("omipay")]
    return "".join(record.getMessage() for record in caplog.records) + "".join(extra)


def assert_harmless(text: str) -> None:
    """No character of ``text`` does more than being seen."""
    assert sorted(f"U+{ord(character):04X}" for character in set(text) & INVISIBLE) == []


@pytest.mark.parametrize("endpoint", CALLS)
async def test_what_the_gateway_says_is_harmless(endpoint: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a reply contains, in whichever field, its code, its keys, or on its way."""
    caplog.set_level(logging.DEBUG)
    events: list[Event] = []
    endings: list[str] = []
    for reply in hostile_replies(endpoint):
        gateway = Gateway(json.dumps(reply) if isinstance(reply, dict) else reply)
        async with open_session(gateway, on_event=events.append, retry=RetryPolicy(attempts=1)) as omipay:
            try:
                endings.append(repr(await CALLS[endpoint](omipay)))
            except OmipayError as error:
                endings.append(said(error))
    assert_harmless("".join(endings))
    assert_harmless(logged(caplog))
    assert_harmless("".join(str(value) for event in events for value in attrs.astuple(event)))
    assert len(events) >= 2 * len(endings)


async def raises(order: object) -> None:
    """A handler that fails."""
    raise LookupError("no such sale")


WAITS: dict[str, Callable[[AsyncOmipay], Awaitable[Any]]] = {
    "poll_until_paid": lambda omipay: omipay.poll_until_paid(SENT, timeout=20),
    "poll_until_refunded": lambda omipay: omipay.poll_until_refunded(SENT, timeout=100),
    "settle": lambda omipay: omipay.settle(SENT, raises, timeout=20),
    "fulfil": lambda omipay: omipay.fulfil(SENT, raises),
    "query_order": lambda omipay: omipay.query_order(SENT),
    "refund": lambda omipay: omipay.refund(order_no=SENT, out_refund_no="R-1", amount=1),
    "wait_for_notification": lambda omipay: omipay.wait_for_notification(SENT, timeout=3),
}


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize(
    "reply",
    [
        success("QueryOrder", result_code="READY\u202e"),
        success("QueryOrder", order_no=SENT),
        success("QueryOrder", result_code="FAILED"),
        fail("PERMISSION_ERROR", error_msg=HOSTILE),
        fail("SYSTEM_ERROR", error_msg=HOSTILE),
        b"\x1b]0;title\x07",
    ],
    ids=["waiting", "paid", "failed", "unknown", "error", "no JSON"],
)
async def test_a_number_of_the_gateway_is_harmless_wherever_it_is_used_later(
    wait: str, reply: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A shop stores what the gateway called an order, and polls, fulfils and refunds it."""
    caplog.set_level(logging.DEBUG)
    events: list[Event] = []
    gateway = Gateway(json.dumps(reply) if isinstance(reply, dict) else reply)
    async with open_session(gateway, on_event=events.append, retry=RetryPolicy(attempts=1)) as omipay:
        try:
            await WAITS[wait](omipay)
        except OmipayError as error:
            assert_harmless(said(error))
        except LookupError:
            pass
    text = "".join(record.getMessage() for record in caplog.records)
    assert_harmless(text)
    assert_harmless("".join(str(event.order_no) for event in events))


def test_the_text_of_every_error_is_harmless() -> None:
    """Whoever makes it, and also after it was pickled; what is clean is not changed."""
    error = OmipayError(f"a{HOSTILE}b")
    assert_harmless(str(error))
    assert str(error).startswith(r"a\u0000\u001b[31m\n\u007f")
    assert str(OmipayError("余额不足 👩\u200d🍳 \\")) == "余额不足 👩\u200d🍳 \\"


def test_a_number_in_an_event_is_bounded() -> None:
    """A gateway may call an order anything."""
    assert Event("call", order_no="TR1").order_no == "TR1"
    assert len(Event("call", order_no="x" * 1_000_000).order_no or "") < 300


async def test_a_number_that_is_too_long_to_be_sent_is_bounded_in_an_event() -> None:
    """It is reported, but only its beginning."""
    events: list[Event] = []
    async with open_session(Gateway({}), on_event=events.append) as omipay:
        with pytest.raises(InvalidRequest, match="out_refund_no"):
            await omipay.refund(order_no="TR1", out_refund_no="R" * 1_000_000, amount=1)
    assert events[0].out_refund_no == "R" * 200 + "..."
