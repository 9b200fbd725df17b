"""Which proxy a node is reached through: the one given, or the environment's (HTTPS_PROXY, NO_PROXY, ...). No I/O.

Only the proxy that an address would be reached through is checked, not the other variables of the environment. The
environment's proxy is never used for a loopback address, since a signature for it must not leave the machine.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import re
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from omipay_async.errors import ConfigurationError
from omipay_async.text import ProxyURL, plain_text

Proxy = ProxyURL | httpx.Proxy

_SCHEMES: Final = ("http", "https", "socks5", "socks5h")
_HOST: Final = re.compile(r"""[^\s\\"'`<>|]+""")


class Proxies:
    """The proxies of a session. For a transport that the user gives none is used, as in other HTTP libraries."""

    def __init__(self, given: object, *, from_environment: bool) -> None:
        self.given: Proxy | None = None
        self._environment: dict[str, ProxyURL] = {}
        if given is not None:
            self.given = _given(given)
        elif from_environment:
            self._environment = {scheme: ProxyURL(url) for scheme, url in getproxies().items() if url}
        self._usable: dict[str, ProxyURL] = {}

    def of(self, address: httpx.URL) -> Proxy | None:
        """The proxy for an address, or None.

        Raises:
            ConfigurationError: the environment's proxy for it cannot be used.
        """
        if self.given is not None or not self._environment or is_loopback_host(address.host):
            return self.given
        scheme = address.scheme if address.scheme in self._environment else "all"
        if scheme not in self._environment or _is_excepted(address):
            return None
        if scheme not in self._usable:
            self._usable[scheme] = _checked(_variable(scheme), _with_scheme(self._environment[scheme]))
        return self._usable[scheme]


def is_loopback_host(host: str) -> bool:
    """Whether a host's name or address is always this machine's own: 127.0.0.0/8, ::1, localhost and its subdomains."""
    name = host.strip("[]").rstrip(".").lower()
    address = _ip_address(name)
    if address is None:
        return name == "localhost" or name.endswith(".localhost")
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or (mapped is not None and mapped.is_loopback)


def _is_excepted(address: httpx.URL) -> bool:
    """Whether NO_PROXY names an address, in any of the forms that curl, httpx, requests or Go accept.

    These are a host or a domain, with or without a port, a scheme or ``*.`` before it; an IP address; a network such as
    10.0.0.0/8; and ``*`` for every host. Commas or spaces are between them.
    """
    host = address.host.strip("[]").rstrip(".").lower()
    if proxy_bypass(host):
        return True
    port = address.port or (443 if address.scheme == "https" else 80)
    spelt = (host, f"[{host}]", f"{host}:{port}", f"[{host}]:{port}")
    ip = _ip_address(host)
    for entry in re.split(r"[\s,]+", getproxies().get("no", "").lower()):
        scheme, mark, rest = entry.rpartition("://")
        if mark and scheme not in (address.scheme, "all"):
            continue
        if rest == "*" or _names(rest.lstrip("*."), spelt) or (ip is not None and _contains(rest.strip("[]"), ip)):
            return True
    return False


def _names(name: str, spelt: tuple[str, ...]) -> bool:
    """Whether ``name`` is a host, which may be spelt in several ways, or a domain that it is in."""
    return name != "" and any(host == name or host.endswith(f".{name}") for host in spelt)


def _ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _contains(network: str, ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return ip in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _given(proxy: object) -> Proxy:
    if isinstance(proxy, httpx.Proxy):
        _checked("proxy", ProxyURL(proxy.url))
        return proxy
    if not isinstance(proxy, str | httpx.URL):
        raise ConfigurationError("proxy must be the URL of a proxy, or an httpx.Proxy")
    return _checked("proxy", ProxyURL(plain_text(proxy) if isinstance(proxy, str) else proxy))


def _checked(name: str, url: ProxyURL) -> ProxyURL:
    """``url`` if it can be used. ``socks://``, as GNOME and others write it, is read as ``socks5://``."""
    if url.lower().startswith("socks://"):
        url = ProxyURL(f"socks5{plain_text(url)[len('socks') :]}")
    scheme = _usable_scheme(url)
    if scheme is None:
        message = f"{name} is not the URL of a proxy"  # without its value, which may contain a password
        raise ConfigurationError(message)
    if scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        message = f'{name} needs: pip install "httpx[socks]"'
        raise ConfigurationError(message)
    return url


def _usable_scheme(url: ProxyURL) -> str | None:
    # A function of its own, so that no traceback has a frame with the parts of the URL, the password among them.
    try:
        parts = urlsplit(url)
        host_and_port = bool(_HOST.fullmatch(parts.hostname or "")) and parts.port != 0
        valid = parts.scheme in _SCHEMES and host_and_port and bool(httpx.URL(url).host)
    except (ValueError, httpx.InvalidURL):
        return None
    return parts.scheme if valid else None


def _variable(scheme: str) -> str:
    """The name of the variable as it is set. The one in lower case counts first, as with curl."""
    small = f"{scheme}_proxy"
    return small if os.environ.get(small) else small.upper()


def _with_scheme(url: ProxyURL) -> ProxyURL:
    return url if "://" in url else ProxyURL(f"http://{plain_text(url)}")
