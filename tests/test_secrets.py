"""Secrets are shown nowhere: no repr, no message, no traceback, no log at any level, no event, no span of a tracer.

A known key, payment code, openid, signature and more go through every kind of call and failure, against a gateway that
echoes the signed URL wherever it can. Then everything that a person or a log could see is searched for them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import traceback
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from omipay_async import (
    AsyncOmipay,
    ConfigurationError,
    Event,
    InvalidRequest,
    JSAPIOrder,
    Notification,
    OmipayError,
    RetryPolicy,
)
from omipay_async.protocol.signing import signature
from omipay_async.transport import httpcore_path

from .support.canned_gateway import MONEY, ORDER, READS
from .support.frames import shown_by, shown_by_stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

KEY: Final = "canary-key-0af61531c6c04ac4"
OLD_KEY: Final = "canary-old-key-ac910d0cd59e"
CODE: Final = "134canary+code/567"
OPENID: Final = "ocanary98c8sq9xz0"
PAY_SIGN: Final = "CANARYPAYSIGN0123"
APP_STRING: Final = "canary_app_id=1&biz=2"
SECRETS: Final = (KEY, OLD_KEY, CODE, OPENID, PAY_SIGN, APP_STRING, "134canary%2Bcode%2F567", "canary_app_id")

CALLS: Final[dict[str, Callable[[AsyncOmipay], Coroutine[Any, Any, Any]]]] = {
    "GetExchangeRate": lambda omipay: omipay.get_exchange_rate("AUD", "CNY"),
    "MakeQROrder": lambda omipay: omipay.make_qr_order(**ORDER, platform="ALIPAY"),
    "MakeJSAPIOrder": lambda omipay: omipay.make_jsapi_order(**ORDER, redirect_url="https://shop.example/back"),
    "MakeScanOrder": lambda omipay: omipay.make_scan_order(**ORDER, qrcode=CODE, pos_no="till-1"),
    "MakeOnlineOrder": lambda omipay: omipay.make_online_order(**ORDER, type="web"),
    "MakeAPPOrder": lambda omipay: omipay.make_app_order(**ORDER, platform="ALIPAYONLINE"),
    "MakeAppletOrder": lambda omipay: omipay.make_applet_order(**ORDER, app_id="wx2", customer_id=OPENID),
    "QueryOrder": lambda omipay: omipay.query_order("TR1"),
    "Refund": lambda omipay: omipay.refund(order_no="TR1", out_refund_no="R-1", amount=100),
    "QueryRefund": lambda omipay: omipay.query_refund("RF1"),
    "GetUserInfo": lambda omipay: omipay.get_user_info("https://shop.example/login"),
    "ConfirmCheckOut": lambda omipay: omipay.call("ConfirmCheckOut", {"token": CODE, "customer": OPENID}),
}
GOOD: Final[dict[str, Any]] = {
    "return_code": "SUCCESS",
    "order_no": "TR1",
    "refund_no": "RF1",
    "rate": "1.5",
    "result_code": "PAID",
    "currency": "AUD",
    "amount": 100,
    "openid": OPENID,
    "qrcode": CODE,
    "order_string": APP_STRING,
    "paySign": PAY_SIGN,
    "nonceStr": PAY_SIGN,
}


def json_body(fields: dict[str, Any]) -> bytes:
    """As the gateway writes it."""
    return json.dumps(fields).encode()


# What the gateway answers, given the target of the request: status, body, and whether it is sent whole.
ANSWERS: Final[dict[str, Callable[[str], tuple[int, bytes]]]] = {
    "a success": lambda target: (200, json_body(GOOD | {"echo": target})),
    "a customer who pays": lambda target: (
        200,
        json_body({"return_code": "USERPAYING", "order_no": "TR1", "x": target}),
    ),
    "a refusal": lambda target: (
        200,
        json_body({"return_code": "FAIL", "error_code": "AMOUNT_INVALID", "error_msg": f"no: {target}"}),
    ),
    "a system error": lambda target: (
        500,
        json_body({"return_code": "FAIL", "error_code": "SYSTEM_ERROR", "error_msg": f"at {target}"}),
    ),
    "an unlisted code": lambda target: (
        200,
        json_body({"return_code": "FAIL", "error_code": "NEW", "error_msg": {"at": target}}),
    ),
    "an error page": lambda target: (502, f"<html><a href='{target}'>{target}</a>".encode()),
    "a field of the wrong kind": lambda target: (
        200,
        json_body({key: [target] for key in GOOD} | {"return_code": "SUCCESS"}),
    ),
    "half a reply": lambda target: (200, json_body(GOOD | {"echo": target})[:-40]),
    "no reply": lambda target: (0, b""),
}


class Echo:
    """A gateway on a real socket that says back, in headers and body, whatever it was asked."""

    def __init__(self) -> None:
        self.answer: Callable[[str], tuple[int, bytes]] = ANSWERS["a success"]
        self.targets: list[str] = []
        self.look: Callable[[], object] = lambda: None
        self.reason: Callable[[str], str] = lambda target: "OK"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.base_url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/omipay/api"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        target = head.split(b" ")[1].decode()
        self.targets.append(target)
        self.look()
        status, body = self.answer(target)
        if status:
            echo = f"Location: {target}\r\nX-Original-Url: {target}\r\nSet-Cookie: sign={target.rpartition('=')[2]}"
            length = f"Content-Length: {len(body)}\r\nContent-Type: application/json\r\nConnection: close"
            writer.write(f"HTTP/1.1 {status} {self.reason(target)}\r\n{echo}\r\n{length}\r\n\r\n".encode() + body)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    @property
    def live(self) -> set[str]:
        """Every signature and nonce that went out."""
        queries = [parse_qs(urlsplit(target).query) for target in self.targets]
        return {query[name][0] for query in queries for name in ("sign", "nonce_str")}


@pytest.fixture
async def gateway() -> AsyncIterator[Echo]:
    """The echo, running."""
    async with Echo() as echo:
        yield echo


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Everything that any logger says, at DEBUG, in a process whose first session is this test's."""
    caplog.set_level(logging.DEBUG)
    httpcore_path.keep_replies_out_of_the_log.cache_clear()
    for name in [*logging.Logger.manager.loggerDict]:
        if name.startswith(("httpx", "httpcore", "asyncio", "omipay_async")):
            caplog.set_level(logging.DEBUG, name)
            logging.getLogger(name).filters.clear()
    yield caplog
    httpcore_path.keep_replies_out_of_the_log.cache_clear()


def told_by(log: pytest.LogCaptureFixture) -> list[str]:
    """What the records say, formatted and not."""
    formatter = logging.Formatter("%(name)s %(message)s")
    return [f"{formatter.format(record)} {record.msg!r} {record.args!r}" for record in log.records]


def told_by_error(error: BaseException) -> list[str]:
    """What an error shows to whoever prints, logs or inspects it, causes and contexts included."""
    shown = [str(error), repr(error), *traceback.format_exception(error)]
    fields = ("message", "excerpt", "endpoint", "parameter", "status")
    shown.extend(repr(getattr(error, name, "")) for name in fields)
    return shown


def search(haystack: list[str], needles: set[str]) -> None:
    """Fail where a secret is found; the message says where, shortened."""
    for text in haystack:
        found = [needle for needle in needles if needle in text]
        assert not found, f"{found} in {text[:2000]}"


async def everything_told(omipay: AsyncOmipay, name: str) -> list[str]:
    """What one call shows of itself, however it ends."""
    try:
        reply = await CALLS[name](omipay)
    except OmipayError as error:
        return told_by_error(error)
    return [] if isinstance(reply, dict) else [str(reply), repr(reply), f"{reply}"]


def session(transport: httpx.AsyncBaseTransport | None, base_url: str, **options: Any) -> AsyncOmipay:
    """A session that holds the canaries."""
    retry = RetryPolicy(attempts=2, base_delay=0.0)
    given = {"retry": retry, "transport": transport, "base_url": base_url, "previous_secret_keys": [OLD_KEY]}
    return AsyncOmipay("123456", KEY, **(given | options))


@pytest.mark.parametrize("transport", ["own", "httpx"])
@pytest.mark.parametrize("answer", ANSWERS)
async def test_no_call_shows_a_secret_over_real_sockets(
    gateway: Echo, log: pytest.LogCaptureFixture, answer: str, transport: str
) -> None:
    """Every endpoint, every kind of ending, our own connections and a user's httpx transport."""
    gateway.answer = ANSWERS[answer]
    events: list[Event] = []
    given = httpx.AsyncHTTPTransport() if transport == "httpx" else None
    async with session(given, gateway.base_url, on_event=events.append) as omipay:
        shown: list[str] = []
        gateway.look = lambda: shown.extend([repr(omipay), repr(omipay._executor), repr(omipay._client)])
        for name in CALLS:
            shown += await everything_told(omipay, name)
    assert len(gateway.targets) >= len(CALLS)
    assert any("httpcore" in record.name for record in log.records) is (transport == "httpx")
    assert events
    search([*shown, *told_by(log), *map(repr, events)], {*SECRETS, *gateway.live})


async def test_a_reason_phrase_that_echoes_the_signature_is_not_logged(
    gateway: Echo, log: pytest.LogCaptureFixture
) -> None:
    """It is text of the server's, as headers are."""
    gateway.reason = lambda target: target
    async with session(None, gateway.base_url) as omipay:
        shown = [line for name in CALLS for line in await everything_told(omipay, name)]
    search([*shown, *told_by(log)], {*SECRETS, *gateway.live})


class Telling(httpx.AsyncBaseTransport):
    """A user's transport whose exceptions tell the URL, as many do."""

    def __init__(self, kind: type[Exception]) -> None:
        self.kind = kind
        self.targets: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Log as a careful user would not, and fail."""
        self.targets.append(request.url.raw_path.decode())
        cause = OSError(f"at {request.url}")
        raise self.kind(f"cannot ask {request.url} ({request.url.raw_path!r}) for {CODE} {OPENID} {KEY}") from cause


@pytest.mark.parametrize("kind", [httpx.ConnectError, httpx.ReadError, httpx.InvalidURL, RuntimeError, OSError])
async def test_what_a_users_transport_tells_is_not_told_on(
    log: pytest.LogCaptureFixture, kind: type[Exception]
) -> None:
    """The foreign exception is neither chained nor quoted with its URL."""
    transport = Telling(kind)
    events: list[Event] = []
    async with session(transport, "https://gateway.test/omipay/api", on_event=events.append) as omipay:
        shown = [line for name in CALLS for line in await everything_told(omipay, name)]
    live = {parse_qs(urlsplit(t).query)[n][0] for t in transport.targets for n in ("sign", "nonce_str")}
    assert len(shown) > len(CALLS)
    search([*shown, *told_by(log), *map(repr, events)], {*SECRETS, *live, "gateway.test/omipay"})


@pytest.mark.parametrize("name", [*MONEY, *READS])
async def test_a_code_that_echoes_the_signature_is_not_shown(
    gateway: Echo, log: pytest.LogCaptureFixture, name: str
) -> None:
    """An unlisted ``error_code`` is the gateway's own text, and as careless as its ``error_msg`` may be."""
    gateway.answer = lambda target: (200, json_body({"return_code": "FAIL", "error_code": f"BAD_URL {target}"}))
    async with session(None, gateway.base_url) as omipay:
        shown = await everything_told(omipay, name)
    search([*shown, *told_by(log)], {*SECRETS, *gateway.live})


async def test_a_tracer_that_reads_the_request_sees_no_signature(
    gateway: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenTelemetry wraps ``AsyncHTTPTransport.handle_async_request`` and writes ``request.url`` into its spans."""
    spans: list[str] = []
    genuine = httpx.AsyncHTTPTransport.handle_async_request

    async def traced(self: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        spans.extend([str(request.url), repr(request), repr(request.url.raw_path), repr(request.headers)])
        return await genuine(self, request)

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", traced)
    async with session(None, gateway.base_url) as omipay:
        for name in CALLS:
            await CALLS[name](omipay)
    assert len(spans) == 4 * len(CALLS)
    search(spans, {*SECRETS, *gateway.live, "sign", "nonce_str", "?", "order_name"})
    assert all("sign=" in target for target in gateway.targets)


async def test_the_key_is_never_sent(gateway: Echo) -> None:
    """Neither the current one nor a previous one, in no form; the signature is made with the current one."""
    async with session(None, gateway.base_url) as omipay:
        for name in CALLS:
            await CALLS[name](omipay)
    for target in gateway.targets:
        query = {key: values[0] for key, values in parse_qs(urlsplit(target).query).items()}
        assert query["sign"] == signature("123456", query["timestamp"], query["nonce_str"], KEY)
        assert KEY not in target
        assert OLD_KEY not in target


def signed_body(**fields: Any) -> bytes:
    """A notification that the gateway could have sent."""
    now, nonce = time.time_ns() // 1_000_000, "canarynonce00000"
    sign = signature("123456", str(now), nonce, KEY)
    return json_body({"order_no": "TR1", "nonce_str": nonce, "timestamp": now, "sign": sign, **fields})


async def test_notifications_show_no_signature(gateway: Echo, log: pytest.LogCaptureFixture) -> None:
    """Believed or refused: what is shown of a body is not what signed it."""

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
    async with session(None, gateway.base_url) as omipay:
        for body in bodies:
            needles.add(json.loads(body[body.rindex(b"{") :])["sign"])
            reply = await omipay.receive_notification(body, handler)
            shown += [repr(reply), repr(reply.body), *(told_by_error(reply.error) if reply.error else [])]
            try:
                shown.append(repr(omipay.parse_notification(body)))
            except OmipayError as error:
                shown += told_by_error(error)
    search([*shown, *told_by(log)], {*needles, *gateway.live} - {"F" * 32})


async def test_pages_are_shown_to_their_caller_alone(gateway: Echo, log: pytest.LogCaptureFixture) -> None:
    """A signed URL is returned and goes nowhere else."""
    events: list[Event] = []
    async with session(None, gateway.base_url, on_event=events.append) as omipay:
        page = omipay.pay_page_url(
            JSAPIOrder("TR1", None, "https://pay.example/1"), redirect_url="https://shop.example/"
        )
        login = omipay.wechat_login_url("https://shop.example/in")
        with pytest.raises(OmipayError) as failure:
            omipay.parse_wechat_login(f"{login}&x={KEY}")
        shown = told_by_error(failure.value)
    live = {parse_qs(urlsplit(url).query)[name][0] for url in (page, login) for name in ("sign", "nonce_str")}
    search([*shown, *told_by(log), *map(repr, events)], {*SECRETS, *live})


# -- local variables ---------------------------------------------------------------------------------------------------


async def frames_of(omipay: AsyncOmipay, name: str) -> list[str]:
    """What the frames of one call show when it fails."""
    try:
        await CALLS[name](omipay)
    except OmipayError as error:
        return shown_by(error)
    return []


@pytest.mark.parametrize("transport", ["own", "httpx"])
@pytest.mark.parametrize("answer", ANSWERS)
async def test_no_frame_shows_a_key_or_a_signature(gateway: Echo, answer: str, transport: str) -> None:
    """Of an exception of any call, and of the stack that a hook runs on, whatever the gateway echoes.

    (What ``call`` returns is the gateway's own object, echoes included: the stack of its hook is not looked at.)
    """
    gateway.answer = ANSWERS[answer]
    given = httpx.AsyncHTTPTransport() if transport == "httpx" else None
    stacks: list[str] = []

    def looked(event: Event) -> None:
        if event.endpoint != "ConfirmCheckOut":
            stacks.extend(shown_by_stack())

    async with session(given, gateway.base_url, on_event=looked) as omipay:
        frames = [frame for name in CALLS for frame in await frames_of(omipay, name)]
    assert any(frame.startswith("emit ") for frame in stacks)
    assert answer.startswith("a success") or any(frame.startswith("call ") for frame in frames)
    search([*frames, *stacks], {KEY, OLD_KEY, *gateway.live})


@pytest.mark.parametrize("answer", ANSWERS)
async def test_no_frame_shows_a_payment_code_or_an_openid(gateway: Echo, answer: str) -> None:
    """Neither when the call fails, nor when the arguments are refused, nor on the stack that a hook runs on."""
    gateway.answer = ANSWERS[answer]
    shown: list[str] = []

    def looked(_: Event) -> None:
        shown.extend(shown_by_stack())

    async with session(None, gateway.base_url, on_event=looked) as omipay:
        for name in ("MakeScanOrder", "MakeAppletOrder"):
            shown += await frames_of(omipay, name)
        for wrong in ({"notify_url": "x"}, {"pos_no": ""}, {"qrcode": f"{CODE}\n"}, {"qrcode": CODE * 300}):
            with pytest.raises(InvalidRequest) as refused:
                await omipay.make_scan_order(**(ORDER | {"qrcode": CODE, "pos_no": "till-1"} | wrong))
            shown += shown_by(refused.value)
    assert shown
    search(shown, {CODE, OPENID, "134canary%2Bcode%2F567"})


@pytest.mark.parametrize("url", ["ftp://user:{}@proxy.test", "http://user:{}@", "user:{}@proxy.test:99999"])
def test_no_frame_shows_the_password_of_a_proxy(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Of one that cannot be used, given or from the environment."""
    url = url.format("canary-password")
    with pytest.raises(ConfigurationError) as given:
        AsyncOmipay("123456", KEY, proxy=url)
    monkeypatch.setenv("HTTPS_PROXY", url)
    with pytest.raises(ConfigurationError) as variable:
        AsyncOmipay("123456", KEY)
    frames = [*shown_by(given.value), *shown_by(variable.value)]
    assert frames
    search(frames, {"canary-password"})


@pytest.mark.parametrize("kind", [httpx.ConnectError, httpx.ReadError, httpx.InvalidURL, RuntimeError, OSError])
async def test_no_frame_shows_a_signature_when_a_transport_fails(kind: type[Exception]) -> None:
    """A user's transport sees it, because it sends it; the frames that called the transport do not show it."""
    stacks: list[str] = []

    class Looking(Telling):
        """As a transport that is instrumented."""

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            """Look at the stack, and fail."""
            stacks.extend(shown_by_stack())
            return await super().handle_async_request(request)

    transport = Looking(kind)
    async with session(transport, "https://gateway.test/omipay/api") as omipay:
        frames = [frame for name in CALLS for frame in await frames_of(omipay, name)]
    live = {parse_qs(urlsplit(t).query)[n][0] for t in transport.targets for n in ("sign", "nonce_str")}
    assert frames
    assert stacks
    search([*frames, *stacks], {KEY, OLD_KEY, *live})


async def test_no_frame_shows_a_key_when_what_the_user_gave_raises() -> None:
    """A nonce provider, a clock; one that returns what is not a nonce."""

    def broken() -> str:
        raise LookupError("no more nonces")

    for nonces in (broken, lambda: "canary nonce"):
        async with session(None, "http://127.0.0.1:9", nonces=nonces) as omipay:
            with pytest.raises((LookupError, OmipayError)) as failure:
                await CALLS["Refund"](omipay)
            with pytest.raises((LookupError, OmipayError)) as of_page:
                omipay.wechat_login_url("https://shop.example/in")
        search([*shown_by(failure.value), *shown_by(of_page.value)], {KEY, OLD_KEY, "canary nonce"})


async def test_no_frame_shows_the_signature_of_a_notification(gateway: Echo) -> None:
    """Refused by any check, in any form: a forged body may hold a signature that is good for five minutes."""
    gateway.answer = lambda _: (200, json_body({"return_code": "FAIL", "error_code": "PERMISSION_ERROR"}))
    bodies: list[Any] = [signed_body(), signed_body(timestamp=5), signed_body(order_no=[KEY]), b"{" + signed_body()]
    bodies += [json.loads(signed_body(sign="canary")), signed_body().decode(), signed_body(order_no="a b")]
    frames: list[str] = []
    async with session(None, gateway.base_url) as omipay:
        for body in bodies:
            for check in (omipay.parse_notification, omipay.confirm_notification):
                try:
                    found = check(body, **({"max_age": 0.0} if check == omipay.parse_notification else {}))
                    if not isinstance(found, Notification):
                        await found
                except OmipayError as error:
                    frames += shown_by(error)
            reply = await omipay.receive_notification(body, lambda order: asyncio.sleep(0))
            assert reply.error is not None
            frames += shown_by(reply.error)
    assert len(frames) > 20
    signs = {signature("123456", str(json.loads(b)["timestamp"]), "canarynonce00000", KEY) for b in bodies[:1]}
    search(frames, {KEY, "canarynonce00000", "canary nonce", *signs})
