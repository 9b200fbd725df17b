"""The ASGI face: finds out what a request wants, lets the gateway answer, and lets faults befall the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import attrs
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from omipay_async.codes import ErrorCode
from omipay_async.protocol.endpoints import ENDPOINTS, Endpoint
from omipay_async.sandbox import gateway, replies
from omipay_async.sandbox.clock import http_date
from omipay_async.sandbox.faults import Fault, Rule
from omipay_async.sandbox.notifier import absolute
from omipay_async.sandbox.validation import parse_query

from . import dashboard, pay_page

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from omipay_async.sandbox.sandbox import Sandbox

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
    ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

API: Final = "/omipay/api"
_BY_PATH: Final = {endpoint.path: endpoint for endpoint in ENDPOINTS.values()}
_PROXY_PAGE: Final = (
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n"
    "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
_PROMISE: Final = [(b"content-type", b"application/json"), (b"content-length", b"1048576")]


class ConnectionDropped(ConnectionResetError):  # noqa: N818 - an event that was asked for
    """A fault ended the connection: no answer, or none that is whole, reaches the caller."""


@attrs.frozen
class Visit:
    """A request, and where in the sandbox it goes."""

    request: Request
    path: str
    """Below ``/omipay/api``, or below the place where the sandbox is mounted."""
    base_url: str
    """The address up to and including ``/omipay/api``, as the caller knows it."""
    is_api: bool


def visit(request: Request) -> Visit:
    """Where a request goes, wherever the sandbox is mounted: under a prefix, at ``/omipay/api`` itself, or nowhere."""
    scope = request.scope
    root = scope.get("root_path", "").rstrip("/")
    path = scope["path"] if scope["path"].startswith(f"{root}/") else root + scope["path"]
    origin = f"{request.url.scheme}://{request.url.netloc}"
    before, found, below = path.partition(API)
    if found and (not below or below.startswith("/")):
        return Visit(request, below, f"{origin}{before}{API}", is_api=True)
    return Visit(request, path[len(root) :], f"{origin}{root}{API}", is_api=False)


async def respond(sandbox: Sandbox, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one request. Raises :class:`ConnectionDropped` where a fault ends the connection."""
    if scope["type"] == "lifespan":
        await _live(sandbox, receive, send)
        return
    request = Request(scope, receive)
    try:
        response = await _answer(sandbox, visit(request))
    except ConnectionDropped:
        if "omipay.drop" not in scope.get("extensions", {}):
            # A server that we do not know: promise more than is sent, so that it has to break the connection off.
            await send({"type": "http.response.start", "status": 200, "headers": _PROMISE})
        raise
    response.headers.setdefault("Date", http_date(sandbox.clock.time_ms()))
    await response(scope, receive, send)


async def _live(sandbox: Sandbox, receive: Receive, send: Send) -> None:
    while (await receive())["type"] != "lifespan.shutdown":
        await send({"type": "lifespan.startup.complete"})
    await sandbox.aclose()
    await send({"type": "lifespan.shutdown.complete"})


async def _answer(sandbox: Sandbox, where: Visit) -> Response:
    if where.request.method not in {"GET", "POST"}:
        return PlainTextResponse("Method Not Allowed", 405, {"Allow": "GET, POST"})
    endpoint = _BY_PATH.get(where.path) if where.is_api else None
    if endpoint is not None:
        return await _call(sandbox, endpoint, where)
    page = await pay_page.respond(sandbox, where) or await dashboard.respond(sandbox, where)
    return page or PlainTextResponse("Not Found", 404)


async def _call(sandbox: Sandbox, endpoint: Endpoint[Any], where: Visit) -> Response:
    asked = gateway.Request(endpoint, where.request.scope["query_string"], where.request.method, where.base_url)
    struck = sandbox.faults.of_call(endpoint.name)
    names = tuple(struck)
    await _wait(sandbox, struck.get(Fault.DELAY))
    if Fault.DROP_REQUEST in struck or Fault.BAD_GATEWAY in struck:
        sandbox.gateway.never_acted(asked, names)
        return _broken(struck)
    skew_ms = round(struck[Fault.SKEWED_CLOCK].seconds * 1000) if Fault.SKEWED_CLOCK in struck else 0
    reply = sandbox.gateway.answer(asked, skew_ms=skew_ms, broken=Fault.SYSTEM_ERROR in struck, faults=names)
    await _wait(sandbox, struck.get(Fault.DELAY_REPLY))
    if Fault.SYSTEM_ERROR_ACTED in struck:
        reply = {"return_code": "FAIL", "error_code": ErrorCode.SYSTEM_ERROR, "error_msg": "服务器错误"}
    response = _redirect(where, asked, reply) or _json(sandbox, endpoint, reply)
    response.headers["Date"] = http_date(sandbox.clock.time_ms() + skew_ms)
    return _spoilt(response, struck)


async def _wait(sandbox: Sandbox, rule: Rule | None) -> None:
    if rule is not None:
        await sandbox.clock.sleep(rule.seconds)


def _json(sandbox: Sandbox, endpoint: Endpoint[Any], reply: dict[str, Any]) -> Response:
    fields = replies.make_odd(endpoint.name, reply) if sandbox.oddities else reply
    return Response(replies.encode(fields), media_type="application/json")


def _redirect(where: Visit, asked: gateway.Request, reply: dict[str, Any]) -> Response | None:
    """EN 2.9 reads both as a redirect of the customer's browser and as a JSON reply: who asks for HTML is a browser."""
    is_browser = "text/html" in where.request.headers.get("accept", "")
    if asked.endpoint.name != "GetUserInfo" or "openid" not in reply or not is_browser:
        return None
    target = absolute(parse_query(asked.query)["redirect_uri"])
    return RedirectResponse(f"{target}{'&' if '?' in target else '?'}{urlencode(reply)}", 302)


def _spoilt(response: Response, struck: dict[Fault, Rule]) -> Response:
    """The answer of a gateway that acted, after whatever befalls it on its way."""
    if Fault.DROP_REPLY in struck or Fault.BAD_GATEWAY_ACTED in struck:
        return _broken(struck)
    if Fault.GARBAGE in struck:
        return Response(b"\x00\xff<!-- not what you asked for -->\x80", media_type="application/json")
    if Fault.CUT_OFF in struck:
        return Response(bytes(response.body)[: len(response.body) // 2], media_type="application/json")
    if Fault.EMPTY in struck:
        return Response(b"", media_type="application/json")
    return response


def _broken(struck: dict[Fault, Rule]) -> Response:
    if Fault.DROP_REQUEST in struck or Fault.DROP_REPLY in struck:
        raise ConnectionDropped("dropped by a fault")
    return Response(_PROXY_PAGE, 502, media_type="text/html")
