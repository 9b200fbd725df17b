"""Secrets are shown nowhere: no repr, no message, no traceback, no log at any level, no event, no span of a tracer.

A known key, payment code, openid, signature and more go through every kind of call and failure, against a gateway that
echoes the signed URL wherever it can. Then everything that a person or a log could see is searched for them.
"""

from __future__ import annotations

import json
import logging
import traceback
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from omipay_async import (
    AsyncOmipay,
    Event,
    JSAPIOrder,
    OmipayError,
)
from omipay_async.protocol.signing import signature
from omipay_async.text import ProxyURL, Secret, plain_text
from omipay_async.transport import httpcore_reports

from .support.canaries import (
    ANSWERS,
    CALLS,
    CODE,
    KEY,
    OLD_KEY,
    SECRETS,
    Echo,
    Telling,
    json_body,
    search,
    session,
    signed_body,
)
from .support.canned_gateway import MONEY, READS

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """All that any logger writes at DEBUG, in a process whose first session is this test's."""
    caplog.set_level(logging.DEBUG)
    httpcore_reports.keep_replies_out_of_the_log.cache_clear()
    for name in [*logging.Logger.manager.loggerDict]:
        if name.startswith(("httpx", "httpcore", "asyncio", "omipay_async")):
            caplog.set_level(logging.DEBUG, name)
            logging.getLogger(name).filters.clear()
    yield caplog
    httpcore_reports.keep_replies_out_of_the_log.cache_clear()


def told_by(log: pytest.LogCaptureFixture) -> list[str]:
    """The text of the records, formatted and not."""
    formatter = logging.Formatter("%(name)s %(message)s")
    return [f"{formatter.format(record)} {record.msg!r} {record.args!r}" for record in log.records]


def told_by_error(error: BaseException) -> list[str]:
    """All that an error shows when it is printed, logged or inspected, with causes and contexts."""
    shown = [str(error), repr(error), *traceback.format_exception(error)]
    fields = ("message", "excerpt", "endpoint", "parameter", "status")
    shown.extend(repr(getattr(error, name, "")) for name in fields)
    return shown


async def everything_told(omipay: AsyncOmipay, name: str) -> list[str]:
    """All that one call shows, however it ends."""
    try:
        reply = await CALLS[name](omipay)
    except OmipayError as error:
        return told_by_error(error)
    return [] if isinstance(reply, dict) else [str(reply), repr(reply), f"{reply}"]


@pytest.mark.parametrize("transport", ["own", "httpx"])
@pytest.mark.parametrize("answer", ANSWERS)
async def test_no_call_shows_a_secret_over_real_sockets(
    echo: Echo, log: pytest.LogCaptureFixture, answer: str, transport: str
) -> None:
    """Every endpoint and every kind of result, over our own connections and a user's httpx transport."""
    echo.answer = ANSWERS[answer]
    events: list[Event] = []
    given = httpx.AsyncHTTPTransport() if transport == "httpx" else None
    async with session(given, echo.base_url, on_event=events.append) as omipay:
        shown: list[str] = []
        echo.look = lambda: shown.extend([repr(omipay), repr(omipay._executor), repr(omipay._client)])
        for name in CALLS:
            shown += await everything_told(omipay, name)
    assert len(echo.targets) >= len(CALLS)
    assert any("httpcore" in record.name for record in log.records) is (transport == "httpx")
    assert events
    search([*shown, *told_by(log), *map(repr, events)], {*SECRETS, *echo.live})


async def test_a_reason_phrase_that_echoes_the_signature_is_not_logged(
    echo: Echo, log: pytest.LogCaptureFixture
) -> None:
    """Like headers, it is the server's text."""
    echo.reason = lambda target: target
    async with session(None, echo.base_url) as omipay:
        shown = [line for name in CALLS for line in await everything_told(omipay, name)]
    search([*shown, *told_by(log)], {*SECRETS, *echo.live})


@pytest.mark.parametrize("kind", [httpx.ConnectError, httpx.ReadError, httpx.InvalidURL, RuntimeError, OSError])
async def test_the_text_of_a_users_transport_is_not_repeated(
    log: pytest.LogCaptureFixture, kind: type[Exception]
) -> None:
    """Its exception is neither chained nor quoted with its URL."""
    transport = Telling(kind)
    events: list[Event] = []
    async with session(transport, "https://gateway.test/omipay/api", on_event=events.append) as omipay:
        shown = [line for name in CALLS for line in await everything_told(omipay, name)]
    live = {parse_qs(urlsplit(t).query)[n][0] for t in transport.targets for n in ("sign", "nonce_str")}
    assert len(shown) > len(CALLS)
    search([*shown, *told_by(log), *map(repr, events)], {*SECRETS, *live, "gateway.test/omipay"})


@pytest.mark.parametrize("name", [*MONEY, *READS])
async def test_a_code_that_echoes_the_signature_is_not_shown(
    echo: Echo, log: pytest.LogCaptureFixture, name: str
) -> None:
    """An unlisted ``error_code`` is the gateway's own text, like its ``error_msg``."""
    echo.answer = lambda target: (200, json_body({"return_code": "FAIL", "error_code": f"BAD_URL {target}"}))
    async with session(None, echo.base_url) as omipay:
        shown = await everything_told(omipay, name)
    search([*shown, *told_by(log)], {*SECRETS, *echo.live})


async def test_a_tracer_that_reads_the_request_sees_no_signature(echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenTelemetry wraps ``AsyncHTTPTransport.handle_async_request`` and writes ``request.url`` into its spans."""
    spans: list[str] = []
    genuine = httpx.AsyncHTTPTransport.handle_async_request

    async def traced(self: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        spans.extend([str(request.url), repr(request), repr(request.url.raw_path), repr(request.headers)])
        return await genuine(self, request)

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", traced)
    async with session(None, echo.base_url) as omipay:
        for name in CALLS:
            await CALLS[name](omipay)
    assert len(spans) == 4 * len(CALLS)
    search(spans, {*SECRETS, *echo.live, "sign", "nonce_str", "?", "order_name"})
    assert all("sign=" in target for target in echo.targets)


async def test_a_transport_that_logs_the_request_logs_no_signature(echo: Echo) -> None:
    """As httpx-retries does: the ``repr`` of a request has no parameters, although its URL is signed."""
    shown = []

    async def logging_transport(request: httpx.Request) -> httpx.Response:
        shown.extend([repr(request), f"{request}"])
        assert request.url.params["sign"]
        return httpx.Response(500)

    async with session(httpx.MockTransport(logging_transport), "https://gateway.test/omipay/api") as omipay:
        for call in CALLS.values():
            with pytest.raises(OmipayError):
                await call(omipay)
    assert "https://gateway.test/omipay/api/v2/QueryOrder" in "".join(shown)
    search(shown, {*SECRETS, *echo.live, "sign="})


async def test_the_key_is_never_sent(echo: Echo) -> None:
    """Neither the current key nor a previous one, in any form. The current one signs."""
    async with session(None, echo.base_url) as omipay:
        for name in CALLS:
            await CALLS[name](omipay)
    assert len(echo.targets) >= len(CALLS)
    for target in echo.targets:
        query = {key: values[0] for key, values in parse_qs(urlsplit(target).query).items()}
        assert query["sign"] == signature("123456", query["timestamp"], query["nonce_str"], KEY)
        assert KEY not in target
        assert OLD_KEY not in target


async def test_notifications_show_no_signature(echo: Echo, log: pytest.LogCaptureFixture) -> None:
    """Neither an accepted nor a rejected one."""

    async def handler(order: object) -> None:
        """Be satisfied."""

    needles = {*SECRETS, "canarynonce00000"}
    shown: list[str] = []
    bodies = (
        signed_body(),
        signed_body(sign="F" * 32),
        signed_body(timestamp=5),
        signed_body(amount=7, currency="CNY"),
        signed_body(order_no=[KEY, CODE]),
        b"{" + signed_body(),
    )
    async with session(None, echo.base_url) as omipay:
        for body in bodies:
            needles.add(json.loads(body[body.rindex(b"{") :])["sign"])
            reply = await omipay.receive_notification(body, handler)
            shown += [repr(reply), repr(reply.body), *(told_by_error(reply.error) if reply.error else [])]
            try:
                shown.append(repr(omipay.parse_notification(body)))
            except OmipayError as error:
                shown += told_by_error(error)
    search([*shown, *told_by(log)], {*needles, *echo.live} - {"F" * 32})


def test_a_secret_cannot_be_printed() -> None:
    """In whichever way somebody writes it out. Only its own characters are equal to it."""
    secret = Secret(KEY)
    shown = [f"{secret}", f"{secret:>40}", f"{secret!s}", str([secret]), repr(secret)]
    shown += [repr(secret[:12]), repr(secret[0])]
    shown.append(logging.LogRecord("shop", logging.INFO, "", 1, "key %s", (secret,), None).getMessage())
    assert KEY[:12] not in "".join(shown)
    assert all("[secret]" in text for text in shown)
    assert secret == KEY


def test_a_part_of_a_secret_or_of_a_proxys_url_is_a_secret() -> None:
    """Of a long local variable, rich and structlog show the beginning."""
    for text in (Secret(KEY), ProxyURL(f"http://user:{KEY}@proxy.test")):
        assert repr(text[2:]) == "[secret]"
        assert plain_text(text[2:]) == plain_text(text)[2:]


async def test_the_url_of_a_page_is_only_returned(echo: Echo, log: pytest.LogCaptureFixture) -> None:
    """It is not logged or reported."""
    events: list[Event] = []
    async with session(None, echo.base_url, on_event=events.append) as omipay:
        page = omipay.pay_page_url(
            JSAPIOrder("TR1", None, "https://pay.example/1"), redirect_url="https://shop.example/"
        )
        login = omipay.wechat_login_url("https://shop.example/in")
        with pytest.raises(OmipayError) as failure:
            omipay.parse_wechat_login(f"{login}&x={KEY}")
        shown = told_by_error(failure.value)
    live = {parse_qs(urlsplit(url).query)[name][0] for url in (page, login) for name in ("sign", "nonce_str")}
    search([*shown, *told_by(log), *map(repr, events)], {*SECRETS, *live})
