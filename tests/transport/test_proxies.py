"""Which proxy a node is reached through. test_proxy.py shows over sockets that it is really used."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from omipay_async import ConfigurationError
from omipay_async.transport.proxies import Proxies
from tests.support.masked import Masked

GATEWAY = httpx.URL("https://www.omipay.com.au/omipay/api")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without the machine's own proxies."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "ALL_PROXY"])
def test_the_environment_sets_it(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """As for curl and httpx. A proxy without a scheme is an http proxy."""
    monkeypatch.setenv(name, "proxy.test:3128")
    assert Proxies(None, from_environment=True).of(GATEWAY) == "http://proxy.test:3128"
    assert Proxies(None, from_environment=False).of(GATEWAY) is None


def test_the_environment_may_except_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_PROXY contains hosts, and domains that hosts end in."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv("NO_PROXY", "omipay.com.au")
    proxies = Proxies(None, from_environment=True)
    assert proxies.of(GATEWAY) is None
    assert proxies.of(httpx.URL("https://www.omipay.com.cn/omipay/api")) == "http://proxy.test:3128"


@pytest.mark.parametrize(
    ("listed", "address"),
    [
        ("www.omipay.com.au:443", "https://www.omipay.com.au"),
        ("www.omipay.com.au:80", "http://www.omipay.com.au"),
        ("omipay.com.au:8443", "https://www.omipay.com.au:8443"),
        ("shop.example *.omipay.com.au", "https://www.omipay.com.au"),
        ("shop.example, *", "https://www.omipay.com.au"),
        (" * ", "https://www.omipay.com.au"),
        ("https://www.omipay.com.au", "https://www.omipay.com.au"),
        ("all://www.omipay.com.au", "https://www.omipay.com.au"),
        ("WWW.Omipay.com.au", "https://www.omipay.com.au."),
        ("10.0.0.0/8", "https://10.1.2.3"),
        ("10.1.2.3", "https://10.1.2.3:8443"),
        ("2001:db8::1", "https://[2001:db8::1]"),
        ("[2001:DB8:0::1]", "https://[2001:db8::1]"),
        ("[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
        ("2001:db8::/32", "https://[2001:db8::1]"),
    ],
)
def test_the_environment_may_except_a_host_in_every_usual_form(
    monkeypatch: pytest.MonkeyPatch, listed: str, address: str
) -> None:
    """The forms of curl, httpx, requests and Go."""
    monkeypatch.setenv("ALL_PROXY", "http://proxy.test:3128")
    assert Proxies(None, from_environment=True).of(httpx.URL(address)) == "http://proxy.test:3128"
    monkeypatch.setenv("NO_PROXY", listed)
    assert Proxies(None, from_environment=True).of(httpx.URL(address)) is None


@pytest.mark.parametrize(
    "listed",
    ["www.omipay.com.au:8443", "http://www.omipay.com.au", "pay.com.au", ",", ".", "10.0.0.0/8", "0.0.0.0/0", "a/b/c"],
)
def test_the_environment_may_except_another_host(monkeypatch: pytest.MonkeyPatch, listed: str) -> None:
    """Another port, scheme or name, or something that is not an address at all."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv("NO_PROXY", listed)
    assert Proxies(None, from_environment=True).of(GATEWAY) == "http://proxy.test:3128"


def test_the_one_given_counts_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment contains."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    given = httpx.Proxy("http://user:password@given.test:8080")
    assert Proxies(given, from_environment=True).of(GATEWAY) is given


@pytest.mark.parametrize(
    "wrong",
    [
        "gopher://proxy.test",
        "http://",
        "http://[proxy",
        "http://proxy.test:x",
        "",
        "http://a:0",
        "\\\\proxy",
        "http://a b:1",
    ],
)
def test_what_is_not_a_proxy_is_rejected_without_showing_it(wrong: str) -> None:
    """When the session is made. The error names the argument, but not the value, which may contain a password."""
    with pytest.raises(ConfigurationError, match=r"^proxy is not the URL of a proxy$"):
        Proxies(wrong, from_environment=True)


def test_a_proxy_of_httpx_is_checked_too() -> None:
    """httpx itself takes a port that nobody can connect to."""
    with pytest.raises(ConfigurationError, match=r"^proxy is not the URL of a proxy$"):
        Proxies(httpx.Proxy("http://a:0"), from_environment=True)


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("value", ["http://[proxy", "'http://proxy.test:3128'", "gopher://proxy.test", "http://xn--:1"])
def test_a_wrong_proxy_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    """By its variable, if an address would be reached through it."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=f"^{variable} is not the URL of a proxy$"):
        Proxies(None, from_environment=True).of(GATEWAY)


def test_only_the_proxy_that_would_be_used_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong one for other schemes or hosts, or one that NO_PROXY excludes, does not matter."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv("HTTP_PROXY", "gopher://[broken")
    monkeypatch.setenv("ALL_PROXY", "socks://proxy.test:1080")
    assert Proxies(None, from_environment=True).of(GATEWAY) == "http://proxy.test:3128"
    monkeypatch.setenv("HTTPS_PROXY", "gopher://[broken")
    monkeypatch.setenv("NO_PROXY", "omipay.com.au")
    assert Proxies(None, from_environment=True).of(GATEWAY) is None


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.8.9.1", "[::1]", "[::ffff:127.0.0.1]", "localhost", "LOCALHOST", "localhost.", "api.localhost"],
)
def test_loopback_is_reached_directly(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """Whatever the environment contains, unless a proxy is given."""
    monkeypatch.setenv("HTTP_PROXY", "gopher://[broken")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    for scheme in ("http", "https"):
        address = httpx.URL(f"{scheme}://{host}:8000/omipay/api")
        assert Proxies(None, from_environment=True).of(address) is None
        assert Proxies("http://given.test:1", from_environment=True).of(address) == "http://given.test:1"


@pytest.mark.parametrize("host", ["127.0.0.1.example", "localhost.example", "[::2]", "10.0.0.1", "notlocalhost"])
def test_what_only_looks_like_loopback_is_not(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """The end of the name counts."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    assert Proxies(None, from_environment=True).of(httpx.URL(f"https://{host}/")) == "http://proxy.test:3128"


@pytest.mark.parametrize("scheme", ["http", "https", "socks5", "socks5h"])
@pytest.mark.parametrize("rest", ["proxy.test:1", "proxy.test:65535", "proxy.test", "user:password@proxy.test:1080"])
def test_a_proxy_of_every_kind_may_be_given(monkeypatch: pytest.MonkeyPatch, scheme: str, rest: str) -> None:
    """At any port."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if name == "socksio" else None)
    given = f"{scheme}://{rest}"
    assert Proxies(given, from_environment=True).of(GATEWAY) == given


@pytest.mark.parametrize("installed", [True, False])
@pytest.mark.parametrize("given", ["socks5://proxy.test:1080", "socks://proxy.test:1080", "SOCKS://proxy.test:1080"])
def test_socks_needs_its_package(monkeypatch: pytest.MonkeyPatch, installed: bool, given: str) -> None:
    """``socks://`` is socks5. The error shows what to install, if such a proxy would be used."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if installed else None)
    monkeypatch.setenv("ALL_PROXY", given)
    environment = Proxies(None, from_environment=True)
    if installed:
        assert environment.of(GATEWAY) == "socks5://proxy.test:1080"
        assert Proxies(given, from_environment=True).of(GATEWAY) == "socks5://proxy.test:1080"
        return
    with pytest.raises(ConfigurationError, match=r"^ALL_PROXY needs: pip install \"httpx\[socks\]\""):
        environment.of(GATEWAY)
    with pytest.raises(ConfigurationError, match=r"^proxy needs: pip install"):
        Proxies(given, from_environment=True)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    assert Proxies(None, from_environment=True).of(GATEWAY) == "http://proxy.test:3128"


@pytest.mark.parametrize(
    "given",
    ["http://user:hunter2@proxy.test:1", httpx.URL("http://user:hunter2@proxy.test:1"), None],
    ids=["text", "URL", "environment"],
)
def test_a_password_is_used_and_not_shown(monkeypatch: pytest.MonkeyPatch, given: Any) -> None:
    """No ``repr`` shows it, so neither do connections and local variables."""
    monkeypatch.setenv("HTTPS_PROXY", "http://user:hunter2@proxy.test:1")
    proxy = Proxies(given, from_environment=True).of(GATEWAY)
    assert isinstance(proxy, str)
    assert httpx.Proxy(proxy).raw_auth == (b"user", b"hunter2")
    assert repr(proxy) == repr("http://proxy.test:1")
    assert "hunter2" not in repr(httpx.Proxy("http://user:hunter2@proxy.test:1"))


def test_a_masked_string_is_a_proxy_too() -> None:
    """Its content counts, not what it prints."""
    assert Proxies(Masked("http://proxy.test:1"), from_environment=True).of(GATEWAY) == "http://proxy.test:1"
