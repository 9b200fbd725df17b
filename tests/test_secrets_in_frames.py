"""No local variable of this library shows a secret in the frames of an error."""

from __future__ import annotations

import asyncio
import functools
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from httpx_aiohttp import AiohttpTransport

from omipay_async import (
    AsyncOmipay,
    ConfigurationError,
    Event,
    InvalidRequest,
    Notification,
    OmipayError,
    SessionClosed,
)
from omipay_async.protocol.signing import signature

from .support.canaries import (
    ANSWERS,
    CALLS,
    CODE,
    KEY,
    OLD_KEY,
    OPENID,
    Echo,
    Telling,
    json_body,
    search,
    session,
    signed_body,
)
from .support.canned_gateway import ORDER
from .support.frames import shown_by, shown_by_stack
from .support.untyped import untyped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def frames_of(omipay: AsyncOmipay, name: str) -> list[str]:
    """What the frames of one call show when it fails."""
    try:
        await CALLS[name](omipay)
    except OmipayError as error:
        return shown_by(error)
    return []


@pytest.mark.parametrize("transport", ["own", "httpx"])
@pytest.mark.parametrize("answer", ANSWERS)
async def test_no_frame_shows_a_key_or_a_signature(echo: Echo, answer: str, transport: str) -> None:
    """Of an exception of any call, and of the stack that a hook runs on, whatever the gateway echoes.

    (What ``call`` returns is the gateway's own object, echoes included: the stack of its hook is not looked at.)
    """
    echo.answer = ANSWERS[answer]
    given = httpx.AsyncHTTPTransport() if transport == "httpx" else None
    stacks: list[str] = []

    def looked(event: Event) -> None:
        if event.endpoint != "ConfirmCheckOut":
            stacks.extend(shown_by_stack())

    async with session(given, echo.base_url, on_event=looked) as omipay:
        frames = [frame for name in CALLS for frame in await frames_of(omipay, name)]
    assert any(frame.startswith("emit ") for frame in stacks)
    assert answer.startswith("a success") or any(frame.startswith("call ") for frame in frames)
    search([*frames, *stacks], {KEY, OLD_KEY, *echo.live})


@pytest.mark.parametrize("answer", ANSWERS)
async def test_no_frame_shows_a_payment_code_or_an_openid(echo: Echo, answer: str) -> None:
    """If the call fails, if the arguments are rejected, and on the stack on which a hook runs.

    (The stack of the hook of ``call`` is not looked at, as above.)
    """
    echo.answer = ANSWERS[answer]
    shown: list[str] = []

    def looked(event: Event) -> None:
        if event.endpoint != "ConfirmCheckOut":
            shown.extend(shown_by_stack())

    async with session(None, echo.base_url, on_event=looked) as omipay:
        for name in ("MakeScanOrder", "MakeAppletOrder", "ConfirmCheckOut"):
            shown += await frames_of(omipay, name)
        for wrong in ({"notify_url": "x"}, {"pos_no": ""}, {"qrcode": f"{CODE}\n"}, {"qrcode": CODE * 300}):
            with pytest.raises(InvalidRequest) as refused:
                await omipay.make_scan_order(**(ORDER | {"qrcode": CODE, "pos_no": "till-1"} | wrong))
            shown += shown_by(refused.value)
        with pytest.raises(InvalidRequest) as refused:
            await omipay.call("ConfirmCheckOut", {"token": CODE, "customer": f"{OPENID}\n"})
        shown += shown_by(refused.value)
    assert shown
    search(shown, {CODE, OPENID, "134canary%2Bcode%2F567"})


@pytest.mark.parametrize("kind", [int, str.encode, lambda code: bytearray(code, "ascii"), lambda code: [code], Decimal])
async def test_no_frame_shows_a_secret_of_the_wrong_type(echo: Echo, kind: Callable[[str], object]) -> None:
    """It is rejected, and the message names the type alone."""
    code = "134567890123456789"
    given = untyped(kind(code))
    async with session(None, echo.base_url) as omipay:
        for call in (
            omipay.make_scan_order(**ORDER, qrcode=given, pos_no="till-1"),
            omipay.make_applet_order(**ORDER, app_id="wx2", customer_id=given),
            omipay.call("ConfirmCheckOut", {"token": untyped([given])}),
            omipay.call("ConfirmCheckOut", given),
            omipay.call("ConfirmCheckOut", untyped(code)),
        ):
            with pytest.raises(InvalidRequest, match=r"not (str|int|bytes|bytearray|list|Decimal)$") as refused:
                await call
            search(shown_by(refused.value), {code})
        with pytest.raises(InvalidRequest, match=f"not {type(given).__name__}$") as refused:
            omipay.parse_wechat_login(given)
        search(shown_by(refused.value), {code})
    with pytest.raises(SessionClosed) as closed:
        omipay.parse_wechat_login(given)
    search(shown_by(closed.value), {code})
    assert echo.targets == []


@pytest.mark.parametrize(
    "more", ["&openid=another", "&error_code=X&success=false", "&return_code=FAIL", "&x=" + "y" * 70_000]
)
async def test_no_frame_shows_the_openid_of_a_redirect(more: str) -> None:
    """If the redirect of WeChat's login contradicts itself, reports a failure, or is too long."""
    async with session(None, "http://127.0.0.1:9/omipay/api") as omipay:
        with pytest.raises(OmipayError) as caught:
            omipay.parse_wechat_login(f"https://shop.example/?openid={OPENID}{more}")
    frames = shown_by(caught.value)
    assert any(frame.startswith("parse_wechat_login ") for frame in frames)
    search(frames, {OPENID})


@pytest.mark.parametrize("url", ["ftp://user:{}@proxy.test", "http://user:{}@", "user:{}@proxy.test:99999"])
def test_no_frame_shows_the_password_of_a_proxy(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Of one that cannot be used, given or from the environment."""
    url = url.format("canary-password")
    with pytest.raises(ConfigurationError) as given:
        AsyncOmipay("123456", KEY, proxy=url)
    with pytest.raises(ConfigurationError) as mapping:
        AsyncOmipay("123456", KEY, proxy=untyped({"https://": url}))
    monkeypatch.setenv("HTTPS_PROXY", url)
    with pytest.raises(ConfigurationError) as variable:
        AsyncOmipay("123456", KEY)
    frames = [*shown_by(given.value), *shown_by(mapping.value), *shown_by(variable.value)]
    assert frames
    search(frames, {"canary-password"})


@pytest.mark.parametrize("kind", [httpx.ConnectError, httpx.ReadError, httpx.InvalidURL, RuntimeError, OSError])
async def test_no_frame_shows_a_signature_when_a_transport_fails(kind: type[Exception]) -> None:
    """A user's transport gets it to send it, but the frames that called the transport do not show it."""
    stacks: list[str] = []

    class Looking(Telling):
        """A transport that is instrumented."""

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


async def cancelled_once_sent(echo: Echo, call: Awaitable[object]) -> None:
    """Make a call whose time is over, by the user's own limit, when the gateway has its request."""
    async with asyncio.timeout(None) as limit:
        echo.look = functools.partial(limit.reschedule, 0)
        await call


@pytest.mark.parametrize("kind", [None, httpx.AsyncHTTPTransport, AiohttpTransport])
async def test_no_frame_shows_what_was_sent_when_a_call_is_cancelled(
    echo: Echo, kind: Callable[[], httpx.AsyncBaseTransport] | None
) -> None:
    """Nor a frame of the transport: a time limit of the user's raises a TimeoutError, which has them in its cause."""
    frames: list[str] = []
    async with session(None if kind is None else kind(), echo.base_url) as omipay:
        for call in CALLS.values():
            with pytest.raises(TimeoutError) as late:
                await cancelled_once_sent(echo, call(omipay))
            frames += shown_by(late.value, everywhere=True)
    assert any(frame.startswith("_attempt ") for frame in frames)
    search(frames, {KEY, CODE, OPENID, *echo.live})


async def test_no_frame_shows_a_key_when_what_the_user_gave_raises() -> None:
    """A nonce provider, or a clock; also a provider that returns what is not a nonce."""

    def broken() -> str:
        raise LookupError("no more nonces")

    for nonces in (broken, lambda: "canary nonce"):
        async with session(None, "http://127.0.0.1:9", nonces=nonces) as omipay:
            with pytest.raises((LookupError, OmipayError)) as failure:
                await CALLS["Refund"](omipay)
            with pytest.raises((LookupError, OmipayError)) as of_page:
                omipay.wechat_login_url("https://shop.example/in")
        search([*shown_by(failure.value), *shown_by(of_page.value)], {KEY, OLD_KEY, "canary nonce"})


async def test_no_frame_shows_the_signature_of_a_notification(echo: Echo) -> None:
    """Rejected by any check, in any form: even a forged body may have a signature that is still valid."""
    echo.answer = lambda _: (200, json_body({"return_code": "FAIL", "error_code": "PERMISSION_ERROR"}))
    bodies: list[Any] = [signed_body(), signed_body(timestamp=5), signed_body(order_no=[KEY]), b"{" + signed_body()]
    bodies += [json.loads(signed_body(sign="canary")), signed_body().decode(), signed_body(order_no="a b")]
    frames: list[str] = []
    async with session(None, echo.base_url) as omipay:
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
            with pytest.raises(InvalidRequest) as rejected:
                await omipay.receive_notification(body, untyped("no handler"))
            frames += shown_by(rejected.value)
    assert len(frames) > 20
    signs = {signature("123456", str(json.loads(b)["timestamp"]), "canarynonce00000", KEY) for b in bodies[:1]}
    search(frames, {KEY, "canarynonce00000", "canary nonce", *signs})
