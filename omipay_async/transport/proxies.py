"""Which proxy a node is reached through: the one given, or the environment's (HTTPS_PROXY, NO_PROXY, ...). No I/O."""

from __future__ import annotations

import importlib.util
from typing import Any, Final, Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from omipay_async.errors import ConfigurationError

_SCHEMES: Final = ("http", "https", "socks5", "socks5h")


class Address(Protocol):
    """What of a URL decides about its proxy."""

    @property
    def scheme(self) -> str:
        """``http`` or ``https``."""
        ...

    @property
    def host(self) -> str:
        """The name or the address."""
        ...


class Proxies:
    """The proxies of a session. A transport that the user gives has none: HTTP libraries leave it alone too."""

    def __init__(self, given: Any, *, from_environment: bool) -> None:
        self.given = given
        self._environment: dict[str, str] = {}
        if given is not None:
            _check("proxy", str(getattr(given, "url", given)))
        elif from_environment:
            found = {scheme: url for scheme, url in getproxies().items() if scheme in ("http", "https", "all")}
            self._environment = {scheme: _with_scheme(url) for scheme, url in found.items() if url}
            for scheme, url in self._environment.items():
                _check(f"{scheme.upper()}_PROXY", url)

    def of(self, address: Address) -> Any:
        """The proxy for an address, or None."""
        if self.given is not None or not self._environment:
            return self.given
        url = self._environment.get(address.scheme) or self._environment.get("all")
        return None if url is None or proxy_bypass(address.host) else url


def _check(name: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in _SCHEMES and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid:
        message = f"{name} is not the URL of a proxy"  # no value: it may hold a password
        raise ConfigurationError(message)
    if parts.scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        message = f'{name} needs: pip install "httpx[socks]"'
        raise ConfigurationError(message)


def _with_scheme(url: str) -> str:
    return url if "://" in url else f"http://{url}"
