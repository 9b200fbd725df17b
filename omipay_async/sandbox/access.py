"""Who may use a served sandbox: programs and browsers of this machine, unless others are allowed explicitly.

Anybody who reaches the dashboard can press its buttons, and a web page can make a browser send requests to any local
server. So the ``Host`` must be a loopback address (a name that an attacker's DNS points to this machine is not), and so
must the ``Origin`` if a browser sends one. Of an image or a link it sends none, and the endpoints can be called by GET:
there ``Sec-Fetch-Site`` says whether a page of another site is behind it. Such a page may open ours, and call nothing.

Wherever the sandbox is served, only its own pages may send forms, and the length of bodies is limited.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

from starlette.responses import PlainTextResponse

from .asgi import API

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

MAX_BODY_BYTES: Final = 64 * 1024
"""Forms are the only bodies that the sandbox reads."""

_HOST: Final = re.compile(rb"(?:\[(?P<ipv6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9_.-]+))(?::[0-9]*)?")

_REFUSED: Final = (
    "This sandbox answers requests of this machine only: the Host and the Origin of a request must be a loopback "
    "address, such as 127.0.0.1 or localhost, and no page of another site may call it. To allow others, start it with "
    "--allow-remote, or with serve(allow_remote=True).\n"
)


class BodyTooLarge(ValueError):
    """A body is longer than :data:`MAX_BODY_BYTES`."""


class SentFromElsewhere(ValueError):
    """A page of another site made the browser send a form."""


def check_declared(request: Request) -> None:
    """Raise :class:`BodyTooLarge` if a request says that its body is longer than :data:`MAX_BODY_BYTES`."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:9]) > MAX_BODY_BYTES:
        raise BodyTooLarge


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form that one of our own pages has sent; if one comes several times, its first value counts.

    Raises :class:`SentFromElsewhere`, or :class:`BodyTooLarge` as soon as more than :data:`MAX_BODY_BYTES` have come.
    """
    if _is_sent_from_elsewhere(request):
        raise SentFromElsewhere
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLarge
    return {name: values[0] for name, values in parse_qs(body.decode(errors="replace")).items()}


def _is_sent_from_elsewhere(request: Request) -> bool:
    """Whether a page of another origin made the browser send this."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.url.netloc


def local_only(app: ASGIApp) -> ASGIApp:
    """An app that answers 403 to every request that does not come from this machine, or that another site caused."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        hosts, origins = _values(scope, b"host"), _values(scope, b"origin")
        is_ours = all(map(_is_local_origin, origins)) if origins else not _is_called_by_another_site(scope)
        if len(hosts) == 1 and is_loopback(hosts[0]) and is_ours:
            await app(scope, receive, send)
        else:
            await PlainTextResponse(_REFUSED, 403, {"Connection": "close"})(scope, receive, send)

    return call


def _values(scope: Scope, wanted: bytes) -> list[bytes]:
    return [value for name, value in scope["headers"] if name == wanted]


def _is_called_by_another_site(scope: Scope) -> bool:
    """Whether a page of another site caused the request, and it does more than open a page of the sandbox."""
    is_opened = _values(scope, b"sec-fetch-mode") == [b"navigate"] and f"{API}/v2/" not in scope["path"]
    return b"cross-site" in _values(scope, b"sec-fetch-site") and not is_opened


def is_loopback(host: bytes) -> bool:
    """Whether a ``Host`` header names this machine: ``localhost``, or an address of the loopback network."""
    parts = _HOST.fullmatch(host.lower())
    if parts is None:
        return False
    name = (parts["ipv6"] or parts["name"]).decode()
    try:
        return name == "localhost" or name.endswith(".localhost") or ip_address(name).is_loopback
    except ValueError:  # not an address
        return False


def _is_local_origin(origin: bytes) -> bool:
    scheme, found, host = origin.partition(b"://")
    return bool(found) and scheme in {b"http", b"https"} and is_loopback(host)
