"""``omipay sandbox`` prints how to use it, ends on Ctrl-C, and answers only this machine."""

from __future__ import annotations

import io
import json
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from omipay_async.sandbox import TOY_SECRET_KEY, times

from .conftest import press_ctrl_c

if TYPE_CHECKING:
    from .conftest import Cli


class Interrupting(io.StringIO):
    """Standard output that presses Ctrl-C as soon as something is written."""

    pressed = False

    def flush(self) -> None:
        if not self.pressed and self.getvalue():
            self.pressed = True
            press_ctrl_c()


def interrupting(monkeypatch: pytest.MonkeyPatch) -> Interrupting:
    """The test calls it, since pytest replaces standard output after the fixtures."""
    out = Interrupting()
    monkeypatch.setattr(sys, "stdout", out)
    return out


def test_it_prints_an_environment_to_paste(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test merchant's, even if the environment has another. Ctrl-C is exit code 130 without a traceback."""
    printed = interrupting(monkeypatch)
    monkeypatch.setenv("OMIPAY_M_NUMBER", "000034")
    monkeypatch.setenv("OMIPAY_SECRET_KEY", "a real key")
    ended = cli("sandbox", "--port", "0", "--seed", "1", "--notify-delay", "0.5")
    exports = [line for line in printed.getvalue().splitlines() if line.startswith("export ")]
    assert (ended.code, ended.complaint) == (130, "omipay: interrupted")
    assert exports[0].startswith("export OMIPAY_BASE_URL=http://127.0.0.1:")
    assert exports[0].endswith("/omipay/api")
    assert exports[1:3] == ["export OMIPAY_M_NUMBER=123456", f"export OMIPAY_SECRET_KEY={TOY_SECRET_KEY}"]
    assert exports[3].startswith("export OMIPAY_NOTIFY_URL=http://127.0.0.1:")
    assert "a real key" not in printed.getvalue()


@pytest.mark.parametrize("missing", ["OMIPAY_M_NUMBER", "OMIPAY_SECRET_KEY"])
def test_credentials_that_are_asked_for_must_be_set(cli: Cli, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """The test key is not used in their place: every signature would be wrong."""
    monkeypatch.delenv(missing)
    ended = cli("sandbox", "--port", "0", "--use-env-credentials")
    assert ended.code == 2
    assert missing in ended.complaint


def test_the_environment_s_own_key_is_not_shown(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be a real one."""
    printed = interrupting(monkeypatch)
    monkeypatch.setenv("OMIPAY_M_NUMBER", "000034")
    monkeypatch.setenv("OMIPAY_SECRET_KEY", "a real key")
    assert cli("sandbox", "--port", "0", "--use-env-credentials").code == 130
    assert "OMIPAY_M_NUMBER=000034" in printed.getvalue()
    assert "a real key" not in printed.getvalue()


def test_its_addresses_as_json(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, then it serves; also on IPv6's loopback address."""
    printed = interrupting(monkeypatch)
    host = "::1" if _has_ipv6() else "localhost"
    cli("sandbox", "--port", "0", "--host", host, "--json", "--use-env-credentials")
    document = json.loads(printed.getvalue().splitlines()[0])
    assert document["base_url"] == f"{document['dashboard']}omipay/api"
    assert document["m_number"] == "123456"
    assert document["secret_key"] is None


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_other_machines_are_let_in_only_on_purpose(cli: Cli, host: str) -> None:
    """The dashboard has no login."""
    ended = cli("sandbox", "--host", host, "--port", "0")
    assert ended.code == 2
    assert "--allow-remote" in ended.complaint


def test_other_machines_can_be_let_in(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --allow-remote it listens on any address. What it prints to export is one that a session accepts."""
    printed = interrupting(monkeypatch)
    assert cli("sandbox", "--host", "0.0.0.0", "--port", "0", "--allow-remote").code == 130
    assert "export OMIPAY_BASE_URL=http://127.0.0.1:" in printed.getvalue()
    assert "A program on another machine needs TLS or a tunnel" in printed.getvalue()


def test_a_port_that_is_taken_is_bad_input(cli: Cli) -> None:
    """The message shows what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = cli("sandbox", "--port", str(taken.getsockname()[1]))
    assert ended.code == 2
    assert "--port 0 takes any free one" in ended.complaint


def test_it_does_not_start_on_a_machine_without_time_zones(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could answer no order; it says what to install, and exits with 2."""
    monkeypatch.setattr(times, "TIME_ZONE", "Nowhere/Atlantis")
    times._zone.cache_clear()
    ended = cli("sandbox", "--port", "0")
    times._zone.cache_clear()
    assert (ended.code, ended.out) == (2, "")
    assert "pip install tzdata" in ended.err
