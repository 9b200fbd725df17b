"""What a session may be set up with: each option checked, or :class:`ConfigurationError` naming it. No I/O."""

from __future__ import annotations

import enum
import ipaddress
import zoneinfo
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from urllib.parse import urlsplit

import attrs

from .codes import Region
from .errors import ConfigurationError, InvalidRequest
from .protocol import validation
from .transport.attempt import Node
from .transport.client import can_be_asked

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable
    from datetime import tzinfo

T = TypeVar("T")
E = TypeVar("E", bound=enum.StrEnum)


def _refuse(name: str, what: str) -> NoReturn:
    message = f"{name} {what}"
    raise ConfigurationError(message)


def having(value: T, name: str, *methods: str) -> T:
    """``value`` if it has every one of ``methods``."""
    missing = [method for method in methods if not callable(getattr(value, method, None))]
    if missing:
        _refuse(name, f"has no method {missing[0]}()")
    return value


def function(value: T, name: str) -> T:
    """``value`` if it is None or may be called."""
    if value is not None and not callable(value):
        _refuse(name, "must be a function")
    return value


def instance(value: Any, name: str, *kinds: type[Any]) -> Any:
    """``value`` if it is one of ``kinds``."""
    if not isinstance(value, kinds):
        _refuse(name, f"must be a {' or a '.join(kind.__name__ for kind in kinds)}")
    return value


def member(kind: type[E], name: str, value: object) -> E:
    """``value`` as a member of the enum ``kind``."""
    if not isinstance(value, str) or value not in tuple(kind):
        _refuse(name, f"must be one of {', '.join(kind)}")
    return kind(value)


def count(name: str, value: object) -> int:
    """``value`` if it is an int of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        _refuse(name, "must be an int of at least 1")
    return value


def seconds(name: str, value: object) -> float:
    """``value`` if it is a finite number of seconds, more than 0."""
    try:
        return validation.seconds(name, value, above=True)
    except InvalidRequest as error:
        message = str(error)
    raise ConfigurationError(message)


def url(name: str, value: object) -> str | None:
    """``value`` if it is None or an absolute http or https URL."""
    if value is None:
        return None
    try:
        return validation.url(name, value)
    except InvalidRequest as error:
        message = str(error)
    raise ConfigurationError(message)


def zone(name: str) -> tzinfo:
    """The time zone called ``name``."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        message = f"timezone {name!r} is not known to this machine: pip install tzdata, or give a tzinfo"
    raise ConfigurationError(message)


def nodes(region: object, base_url: object, fallback: object, *, plain_http: bool) -> list[Node]:
    """The node to ask, and the one to ask when it cannot be reached."""
    own = member(Region, "region", region)
    first = Node(own, own.base_url) if base_url is None else _node("base_url", base_url, plain_http=plain_http)
    if fallback is None:
        return [first]
    if isinstance(fallback, str) and fallback in tuple(Region):
        second = Node(Region(fallback), Region(fallback).base_url)
    else:
        second = _node("fallback", fallback, plain_http=plain_http)
    if second.base_url == first.base_url:
        _refuse("fallback", "must be another node than the first")
    if second.name == first.name:  # one host, two ports
        first, second = (attrs.evolve(node, name=urlsplit(node.base_url).netloc) for node in (first, second))
    return [first, second]


def _node(name: str, value: object, *, plain_http: bool) -> Node:
    address = (url(name, value) or "").rstrip("/")
    parts = urlsplit(address)
    if parts.query or parts.fragment or parts.username is not None:
        _refuse(name, "must be an address up to and including /omipay/api: no query, no fragment, no user")
    if not can_be_asked(address):
        _refuse(name, "is no URL that can be sent to")
    if parts.scheme != "https" and not plain_http and not is_loopback(address):
        _refuse(name, "must be https: only a loopback address may be plain http")
    return Node(parts.hostname or parts.netloc, address)


def is_loopback(address: str) -> bool:
    """Whether a URL leads to this machine."""
    host = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def verification(verify: ssl.SSLContext | str | bool, nodes: Iterable[Node]) -> None:
    """Refuse to switch TLS verification off for anything but this machine."""
    if verify is False and not all(is_loopback(node.base_url) for node in nodes):
        _refuse("verify", "must not be False: give an ssl.SSLContext or a path to CA certificates")
