"""Checks the options of a session, and reads those of the environment. No network.

Each function returns the checked value, or raises a :class:`ConfigurationError` that names the option.
"""

from __future__ import annotations

import enum
import inspect
import os
from datetime import UTC, datetime, tzinfo
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, TypedDict, TypeVar, cast
from urllib.parse import urlsplit

import attrs

from . import options
from .codes import Region
from .errors import ConfigurationError, InvalidRequest
from .options import reject
from .protocol import validation
from .protocol.conversion import in_zone
from .text import Secret, hidden_key, hidden_keys, hidden_proxy, plain_text
from .transport.attempt import Node
from .transport.proxies import Proxies, is_loopback_host
from .transport.requests import can_be_asked, to_url
from .transport.tls import checked_verify

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Collection, Iterable, Sequence

    import httpx

    from .calls.retries import RetryPolicy
    from .clock import Clock
    from .codes import Language
    from .events import Event
    from .fulfilment.backends import Backend
    from .journal import Journal
    from .protocol.signing import NonceProvider

T = TypeVar("T")
E = TypeVar("E", bound=enum.StrEnum)

VARIABLES: Final = {
    name: f"OMIPAY_{name.upper()}"
    for name in ("m_number", "secret_key", "region", "base_url", "language", "notify_url")
}
"""The environment variable of each argument."""
_ANY_TIME: Final = datetime(2026, 7, 1, tzinfo=UTC).replace(tzinfo=None)
_QUOTES: Final = ('""', "''", "``", "\u201c\u201d", "\u2018\u2019", "\u300c\u300d", "\u00ab\u00bb", "\u201e\u201c")
"""A pair of quotation marks: straight, typographic, Chinese, French, German."""


class SessionArguments(TypedDict, total=False):
    """The arguments of ``AsyncOmipay``, as a type for functions that pass them on. Each may be left out."""

    m_number: str
    secret_key: str
    region: Region | str
    base_url: str | None
    fallback: Region | str | None
    language: Language | str | None
    notify_url: str | None
    timezone: str | tzinfo
    timeout: float
    max_in_flight: int
    retry: RetryPolicy
    nonces: NonceProvider | None
    clock: Clock | None
    backend: Backend | None
    journal: Journal | None
    previous_secret_keys: Sequence[str]
    on_event: Callable[[Event], None] | None
    transport: httpx.AsyncBaseTransport | None
    proxy: str | httpx.URL | httpx.Proxy | None
    verify: ssl.SSLContext | str | os.PathLike[str] | bool


_OBJECTS: Final = {"clock": "SystemClock()", "journal": "Books(url)", "backend": "RedisBackend(url) or Books(url)"}


def require_methods(name: str, value: T, *methods: str) -> T:
    """``value`` if it has all of ``methods``."""
    missing = [method for method in methods if not callable(_attribute(value, method))]
    if missing and isinstance(value, str):
        reject(name, f"must be an object, such as {_OBJECTS[name]}, not a string")
    if missing:
        reject(name, f"has no method {missing[0]}()")
    if isinstance(value, type) and isinstance(inspect.getattr_static(value, methods[0], None), FunctionType):
        reject(name, f"must be an object, not a class: write {value.__name__}()")
    return value


def require_lease(backend: T) -> T:
    """``backend`` if its ``lease`` is a number of seconds, or if it has none."""
    lease = _attribute(backend, "lease")
    if lease is not None:
        options.seconds("backend.lease", lease, above=True, longest=options.LONGEST_DURATION_S)
    return backend


def _attribute(value: object, name: str) -> Any:
    try:
        return getattr(value, name, None)
    except Exception:  # noqa: BLE001 - the object is the user's: its attributes may be computed, and fail
        return None


def function(name: str, value: T) -> T:
    """``value`` if it is None or can be called, and is not ``async``: nobody would await it."""
    if value is not None and (not callable(value) or _is_async(value)):
        reject(name, "must be a function, and not an async one")
    return value


def nonce_provider(value: T) -> T:
    """``value`` if it is a function, and so is its ``issued`` if it has one."""
    function("nonces.issued", _attribute(value, "issued"))
    return function("nonces", value)


def _is_async(value: Callable[..., Any]) -> bool:
    """Whether calling ``value``, which may be an object with a method ``__call__``, returns a coroutine."""
    return any(map(inspect.iscoroutinefunction, (value, type(value).__call__)))


def instance(name: str, value: object, kind: type[T]) -> T:
    """``value`` if it is an instance of ``kind``."""
    if not isinstance(value, kind):
        reject(name, f"must be a {kind.__name__}")
    return value


def member(name: str, value: object, kind: type[E]) -> E:
    """``value`` as a member of the enum ``kind``."""
    if not isinstance(value, str) or plain_text(value) not in tuple(kind):
        reject(name, f"must be one of {', '.join(kind)}")
    return kind(plain_text(value))


def url(name: str, value: object) -> str | None:
    """``value`` if it is None or an absolute http or https URL."""
    if value is None:
        return None
    try:
        return validation.url(name, value)
    except InvalidRequest as error:
        message = str(error)
    raise ConfigurationError(message)


def timezone(value: object) -> str | tzinfo:
    """``value`` if it is a ``tzinfo`` or the name of a zone, which :func:`zone` looks up at its first use."""
    if not isinstance(value, str | tzinfo):
        reject("timezone", "must be the name of a time zone, or a tzinfo")
    # Zones of zoneinfo have a key, those of pytz a zone.
    name = value if isinstance(value, str) else _attribute(value, "key") or _attribute(value, "zone")
    if isinstance(name, str) and plain_text(name).strip().upper() == "EST":
        reject("timezone", "'EST' is the eastern time of America: that of Sydney and Melbourne is Australia/Sydney")
    if isinstance(value, str):
        return plain_text(value)
    if in_zone(_ANY_TIME, value) is None:
        reject("timezone", "must give every time a UTC offset")
    return value


def zone(name: str) -> tzinfo:
    """The time zone called ``name``."""
    import zoneinfo

    why = ""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        pass
    except OSError as error:  # such as too many open files
        why = f" ({error.strerror})"
    message = f"timezone {name!r} is not known to this machine{why}: pip install tzdata, or give a tzinfo"
    raise ConfigurationError(message)


def nodes(region: object, base_url: object, fallback: object, *, plain_http: bool) -> list[Node]:
    """The node to use, and the second node, if there is one, for when it cannot be reached."""
    own = member("region", region, Region)
    first = Node(own, own.base_url) if base_url is None else _node("base_url", base_url, plain_http=plain_http)
    if fallback is None:
        return [first]
    if isinstance(fallback, str) and plain_text(fallback) in tuple(Region):
        other = Region(plain_text(fallback))
        second = Node(other, other.base_url)
    else:
        second = _node("fallback", fallback, plain_http=plain_http)
    if to_url(second.base_url) == to_url(first.base_url):  # however host and port are written
        reject("fallback", "must be another node than the first")
    if second.name == first.name:  # one host, two ports
        first, second = (attrs.evolve(node, name=urlsplit(node.base_url).netloc) for node in (first, second))
    return [first, second]


def _node(name: str, value: object, *, plain_http: bool) -> Node:
    address = (url(name, value) or "").rstrip("/")
    parts = urlsplit(address)
    # An empty query or fragment, too, since everything that is appended would become a part of it.
    if "?" in address or "#" in address or parts.username is not None:
        reject(name, "must be an address up to and including /omipay/api: no query, no fragment, no user")
    if not can_be_asked(address):
        reject(name, "is not a URL that a request can be sent to")
    if parts.scheme != "https" and not plain_http and not is_loopback(address):
        reject(name, "must be https: only a loopback address may be plain http")
    return Node(parts.hostname or parts.netloc, address)


def is_loopback(address: str) -> bool:
    """Whether a URL leads to this machine."""
    return is_loopback_host(urlsplit(address).hostname or "")


def verification(verify: object, nodes: Iterable[Node]) -> ssl.SSLContext | str | bool:
    """``verify`` if it is valid. TLS verification can be switched off only for this machine."""
    if verify is False and not all(is_loopback(node.base_url) for node in nodes):
        reject("verify", "must not be False: give an ssl.SSLContext or a path to CA certificates")
    return checked_verify(verify)


def proxies(given: object, nodes: Iterable[Node], *, from_environment: bool) -> Proxies:
    """The proxies of a session. Those through which its nodes would be reached are checked."""
    found = Proxies(given, from_environment=from_environment)
    for node in nodes:
        found.of(to_url(node.base_url))
    return found


# -- secrets and the environment --------------------------------------------------------------------------------------


def hidden_arguments(arguments: SessionArguments) -> SessionArguments:
    """Arguments of a session, with its keys and its proxy in values whose ``repr`` hides them."""
    hiding = {"secret_key": hidden_key, "previous_secret_keys": hidden_keys, "proxy": hidden_proxy}
    hidden = {name: hiding[name](value) for name, value in arguments.items() if name in hiding}
    return cast("SessionArguments", {**arguments, **hidden})


def from_environment(overrides: SessionArguments) -> dict[str, Any]:
    """``overrides``, and the arguments of a session from the environment that they leave out."""
    given: dict[str, Any] = {**overrides}
    missing = []
    for name, variable in VARIABLES.items():
        if name in given:
            continue
        value = Secret(os.environ.get(variable, "").strip())
        check_quotes(variable, value)
        if value:
            given[name] = value if name == "secret_key" else plain_text(value)
        elif name in ("m_number", "secret_key"):
            missing.append(variable)
    if missing:
        message = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set"
        raise ConfigurationError(message)
    return given


def check_quotes(variable: str, value: str) -> None:
    """Raise :class:`ConfigurationError` if the value of a variable is in quotes, which belong to a shell."""
    if value[:1] + value[1:][-1:] in _QUOTES:
        message = f"{variable}: the value is in quotes; set it without them"
        raise ConfigurationError(message)


def blamed_on_environment(error: ConfigurationError, from_variables: Collection[str]) -> str | None:
    """A message that names the variable, if ``error`` is about an argument that came from one; else None."""
    parameter = str(error).split(" ", 1)[0].strip(":")
    return f"{VARIABLES[parameter]}: {error}" if parameter in from_variables else None
