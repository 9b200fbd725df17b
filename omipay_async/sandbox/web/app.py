"""The ASGI app: finds out what a request wants, lets the gateway answer, and applies faults to the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from omipay_async.codes import ErrorCode, Language
from omipay_async.protocol.endpoints import ENDPOINTS
from omipay_async.sandbox import gateway, replies
from omipay_async.sandbox.access import BodyTooLarge, SentFromElsewhere, check_declared
from omipay_async.sandbox.asgi import DROP, SURPLUS, ConnectionDropped
from omipay_async.sandbox.errors import MESSAGES
from omipay_async.sandbox.faults import Fault
from omipay_async.sandbox.times import http_date
from omipay_async.sandbox.validation import absolute, parse_query

from . import dashboard, pay_page
from .routing import route

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from omipay_async.protocol.endpoints import Endpoint
    from omipay_async.sandbox.core import SandboxCore
    from omipay_async.sandbox.faults import Rule

    from .routing import RoutedRequest

_BY_PATH: Final = {endpoint.path: endpoint for endpoint in ENDPOINTS.values()}
_PROXY_PAGE: Final = (
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n"
    "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
_PROMISE: Final = [(b"content-type", b"application/json"), (b"content-length", b"1048576")]


async def respond(sandbox: SandboxCore, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one request. Raises :class:`ConnectionDropped` where a fault ends the connection."""
    if scope["type"] == "lifespan":
        await _run_lifespan(sandbox, receive, send)
        return
    request = Request(scope, receive)
    try:
        response = await _answer(sandbox, route(request))
    except ConnectionDropped:
        if DROP not in scope.get("extensions", {}):
            # A server that we do not know: promise more than is sent, so that it has to break the connection off.
            await send({"type": "http.response.start", "status": 200, "headers": _PROMISE})
        raise
    response.headers.setdefault("Date", http_date(sandbox.clock.time_ms()))
    await response(scope, receive, send)


async def _run_lifespan(sandbox: SandboxCore, receive: Receive, send: Send) -> None:
    while (await receive())["type"] != "lifespan.shutdown":
        await send({"type": "lifespan.startup.complete"})
    await sandbox.aclose()
    await send({"type": "lifespan.shutdown.complete"})


async def _answer(sandbox: SandboxCore, routed: RoutedRequest) -> Response:
    if routed.request.method not in {"GET", "POST"}:
        return PlainTextResponse("Method Not Allowed", 405, {"Allow": "GET, POST"})
    endpoint = _BY_PATH.get(routed.path) if routed.is_api else None
    try:
        check_declared(routed.request)
        if endpoint is not None:
            return await _call(sandbox, endpoint, routed)
        page = await pay_page.respond(sandbox, routed) or await dashboard.respond(sandbox, routed)
    except SentFromElsewhere:
        return PlainTextResponse("this button was pressed from another site", 403)
    except BodyTooLarge:
        return PlainTextResponse("Content Too Large", 413, {"Connection": "close"})
    return page or PlainTextResponse("Not Found", 404)


async def _call(sandbox: SandboxCore, endpoint: Endpoint[Any], routed: RoutedRequest) -> Response:
    active_faults = sandbox.faults.of_call(endpoint.name)
    asked = gateway.Request(
        endpoint,
        query=routed.request.scope["query_string"],
        method=routed.request.method,
        base_url=routed.base_url,
        faults=tuple(active_faults),
        skew_ms=round(active_faults[Fault.SKEWED_CLOCK].seconds * 1000) if Fault.SKEWED_CLOCK in active_faults else 0,
    )
    await _wait(sandbox, active_faults.get(Fault.DELAY))
    if Fault.DROP_REQUEST in active_faults or Fault.BAD_GATEWAY in active_faults:
        sandbox.gateway.log_unseen(asked)
        return _broken(active_faults)
    reply = sandbox.gateway.answer(asked)
    await _wait(sandbox, active_faults.get(Fault.DELAY_REPLY))
    if Fault.SYSTEM_ERROR_ACTED in active_faults:
        reply = _fail(ErrorCode.SYSTEM_ERROR)
    if swapped := active_faults.get(Fault.SWAPPED_REPLIES):
        reply = await sandbox.swaps.swap(endpoint.name, reply, swapped.seconds)
    response = _redirect(routed, asked, reply) or _json(sandbox, endpoint, reply, active_faults)
    response.headers["Date"] = http_date(sandbox.clock.time_ms() + asked.skew_ms)
    if Fault.SURPLUS_REPLY in active_faults and (
        add_surplus := routed.request.scope.get("extensions", {}).get(SURPLUS)
    ):
        add_surplus(_surplus(response.headers["Date"]))
    return _corrupted(response, active_faults)


async def _wait(sandbox: SandboxCore, rule: Rule | None) -> None:
    if rule is not None:
        await sandbox.clock.sleep(rule.seconds)


def _json(
    sandbox: SandboxCore, endpoint: Endpoint[Any], reply: dict[str, Any], active_faults: dict[Fault, Rule]
) -> Response:
    fields = replies.make_odd(endpoint.name, reply) if sandbox.oddities else reply
    if Fault.CONTRADICTION in active_faults:
        fields = {**fields, "success": fields.get("return_code") == "FAIL"}
    body = replies.encode(fields)
    if Fault.DUPLICATE_KEYS in active_faults:
        opposite = b"SUCCESS" if fields.get("return_code") == "FAIL" else b"FAIL"
        body = body[:-1] + b', "return_code": "' + opposite + b'"}'
    return Response(body, media_type="application/json")


def _fail(code: ErrorCode) -> dict[str, Any]:
    return {"return_code": "FAIL", "error_code": code, "error_msg": MESSAGES[code].in_language(Language.CHS)}


def _surplus(date: str) -> bytes:
    """A whole HTTP reply that nobody asked for."""
    body = replies.encode(_fail(ErrorCode.SIGN_TIMEOUT))
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\ndate: {date}\r\n\r\n"
    return head.encode() + body


def _redirect(routed: RoutedRequest, asked: gateway.Request, reply: dict[str, Any]) -> Response | None:
    """EN 2.9 may mean a redirect of the customer's browser or a JSON reply: a caller that accepts HTML is a browser."""
    is_browser = "text/html" in routed.request.headers.get("accept", "")
    if asked.endpoint.name != "GetUserInfo" or "openid" not in reply or not is_browser:
        return None
    target, mark, fragment = absolute(parse_query(asked.query)["redirect_uri"]).partition("#")
    return RedirectResponse(f"{target}{'&' if '?' in target else '?'}{urlencode(reply)}{mark}{fragment}", 302)


def _corrupted(response: Response, active_faults: dict[Fault, Rule]) -> Response:
    """The answer of a gateway that acted, changed by the faults that apply to it."""
    if Fault.DROP_REPLY in active_faults or Fault.BAD_GATEWAY_ACTED in active_faults:
        return _broken(active_faults)
    if Fault.GARBAGE in active_faults:
        return Response(b"\x00\xff<!-- not what you asked for -->\x80", media_type="application/json")
    if Fault.CUT_OFF in active_faults:
        return Response(bytes(response.body)[: len(response.body) // 2], media_type="application/json")
    if Fault.EMPTY in active_faults:
        return Response(b"", media_type="application/json")
    return response


def _broken(active_faults: dict[Fault, Rule]) -> Response:
    if Fault.DROP_REQUEST in active_faults or Fault.DROP_REPLY in active_faults:
        raise ConnectionDropped("dropped by a fault")
    return Response(_PROXY_PAGE, 502, media_type="text/html")
