"""Which proxy a node is reached through. (That it is really used, tests/wire shows over sockets.)"""

from __future__ import annotations

import httpx
import pytest

from omipay_async import ConfigurationError
from omipay_async.transport.proxies import Proxies

GATEWAY = httpx.URL("https://www.omipay.com.au/omipay/api")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own proxies are none of ours."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "ALL_PROXY"])
def test_the_environment_names_it(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """As curl and httpx read it; a proxy without a scheme is an http one."""
    monkeypatch.setenv(name, "proxy.test:3128")
    assert Proxies(None, from_environment=True).of(GATEWAY) == "http://proxy.test:3128"
    assert Proxies(None, from_environment=False).of(GATEWAY) is None


def test_the_environment_may_except_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_PROXY names hosts and the domains that they end in."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv("NO_PROXY", "omipay.com.au")
    proxies = Proxies(None, from_environment=True)
    assert proxies.of(GATEWAY) is None
    assert proxies.of(httpx.URL("https://www.omipay.com.cn/omipay/api")) == "http://proxy.test:3128"


def test_the_one_given_counts_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment says."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    given = httpx.Proxy("http://user:password@given.test:8080")
    assert Proxies(given, from_environment=True).of(GATEWAY) is given


@pytest.mark.parametrize("wrong", ["gopher://proxy.test", "http://", "http://[proxy", "http://proxy.test:x", ""])
def test_what_is_no_proxy_is_refused_without_showing_it(wrong: str) -> None:
    """When the session is made, naming the argument; the value may hold a password."""
    with pytest.raises(ConfigurationError, match=r"^proxy is not the URL of a proxy$"):
        Proxies(wrong, from_environment=True)


def test_a_wrong_proxy_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its variable."""
    monkeypatch.setenv("HTTPS_PROXY", "http://[proxy")
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY"):
        Proxies(None, from_environment=True)


@pytest.mark.parametrize("installed", [True, False])
def test_socks_needs_its_package(monkeypatch: pytest.MonkeyPatch, installed: bool) -> None:
    """The error says what to install, before any money is at stake."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if installed else None)
    if installed:
        assert Proxies("socks5://proxy.test:1080", from_environment=True).of(GATEWAY) == "socks5://proxy.test:1080"
        return
    with pytest.raises(ConfigurationError, match=r"httpx\[socks\]"):
        Proxies("socks5://proxy.test:1080", from_environment=True)
