"""The machine and other tools: FIPS rules, other event loops than asyncio's, pytest-xdist."""

from __future__ import annotations

import ast
import asyncio
import hashlib
import os
import ssl
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock
from zoneinfo import ZoneInfo

import pytest
import trio

import omipay_async
from omipay_async import AsyncOmipay, RetryPolicy
from omipay_async.errors import ConfigurationError, NotSent
from omipay_async.redis import RedisBackend
from omipay_async.sql import Books

from .support.canned_gateway import CALLS, Gateway, open_session, success
from .support.redis_server import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGE = Path(omipay_async.__file__).parent
ALLOWED = {"md5", "sha224", "sha256", "sha384", "sha512"}


def hashes_of(path: Path) -> list[tuple[str, ast.AST]]:
    """Each use of a hash in a module: its name, and the call."""
    found: list[tuple[str, ast.AST]] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "hashlib":
            found.append((node.attr, node))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"hmac.new", "hmac.digest"}:
            found.append((str(ast.literal_eval(node.args[2])), node))
        elif isinstance(node, ast.ImportFrom):
            assert node.module not in {"hashlib", "hmac"}, f"{path.name}: write hashlib.NAME, which this test reads"
    return found


def test_only_hashes_that_fips_rules_allow_are_used() -> None:
    """The SHA-2 family, and MD5 where the gateway needs it, marked as not for security."""
    found = [(path, *use) for path in sorted(PACKAGE.rglob("*.py")) for use in hashes_of(path)]
    assert {name for _, name, _ in found} <= ALLOWED
    assert any(name == "md5" for _, name, _ in found)
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "hashlib.md5":
                assert "usedforsecurity=False" in ast.unparse(node), path


def test_a_session_signs_where_md5_is_forbidden_for_security(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under FIPS rules in OpenSSL."""
    real = hashlib.md5

    def strict(data: bytes = b"", *, usedforsecurity: bool = True) -> Any:
        assert not usedforsecurity
        return real(data, usedforsecurity=False)

    monkeypatch.setattr(hashlib, "md5", strict)
    monkeypatch.delattr(hashlib, "blake2b")
    monkeypatch.delattr(hashlib, "blake2s")
    gateway = Gateway(success("MakeQROrder"))

    async def order() -> None:
        async with open_session(gateway, nonces=None) as omipay:
            await CALLS["MakeQROrder"](omipay)

    asyncio.run(order())
    assert len(gateway.requests) == 1


def test_under_trio_the_error_shows_that_asyncio_is_needed() -> None:
    """From ``async with``, from a call and from ``aclose``, which closes nothing."""

    omipay = open_session(Gateway({}))

    async def enter() -> None:
        await omipay.__aenter__()

    async def call() -> None:
        await omipay.query_order("TR1")

    for program in (enter, call, omipay.aclose):
        with pytest.raises(ConfigurationError, match="asyncio"):
            trio.run(program)
    assert not omipay.is_closed
    asyncio.run(omipay.aclose())


@pytest.mark.parametrize("make", [lambda: Books("sqlite:///shop.db"), lambda: RedisBackend("redis://localhost")])
def test_under_trio_what_sessions_share_shows_that_asyncio_is_needed(make: Callable[[], Books | RedisBackend]) -> None:
    """From a method, from ``aclose``, and from ``async with`` around either."""
    shared = make()

    async def enter() -> None:
        async with shared:
            await shared.claim("123456:TR1", "me")

    async def claim() -> None:
        await shared.claim("123456:TR1", "me")

    for program in (enter, claim, shared.aclose):
        with pytest.raises(ConfigurationError, match="asyncio"):
            trio.run(program)


async def test_nothing_is_read_from_disk_in_the_event_loop_if_zone_and_certificates_are_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For whoever runs beside a program that reports blocking calls, as the guide to operations shows it."""
    given: dict[str, Any] = {"timezone": ZoneInfo("Australia/Sydney"), "verify": ssl.create_default_context()}
    base_url = f"https://127.0.0.1:{free_port()}/omipay/api"
    omipay = AsyncOmipay("123456", "secret", base_url=base_url, retry=RetryPolicy(attempts=1), **given)
    reading = mock.Mock(side_effect=AssertionError("read in the event loop"))
    monkeypatch.setattr("zoneinfo.ZoneInfo", reading)
    monkeypatch.setattr("ssl.SSLContext.load_verify_locations", reading)
    monkeypatch.setattr("pathlib.Path.stat", reading)
    async with omipay:
        with pytest.raises(NotSent):
            await omipay.get_exchange_rate("AUD", "CNY")
    reading.assert_not_called()


PROJECT = """
import pytest

@pytest.mark.parametrize("number", range(8))
async def test_a_customer_pays(omipay, omipay_sandbox, number):
    order = await omipay.make_qr_order(
        order_name="Tea", amount=450, currency="AUD", out_order_no="A-1", platform="ALIPAY"
    )
    await omipay_sandbox.customer.pays(order.order_no)
    assert (await omipay.poll_until_paid(order)).is_paid
"""

INI = "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"


def test_the_suite_of_a_user_runs_under_xdist(tmp_path: Path) -> None:
    """With the plugin's fixtures, in two processes: no test gets the orders of another."""
    (tmp_path / "test_shop.py").write_text(PROJECT, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text(INI, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", "-W", "error", "."]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    ended = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "8 passed" in ended.stdout


LAST = """
import sys
from omipay_async import AsyncOmipay

session = AsyncOmipay("1", "key")
sys.excepthook = lambda *_, another=AsyncOmipay("2", "key"): None
"""


@pytest.mark.parametrize("shown", ["ignore", "default"])
def test_a_session_that_is_destroyed_last_of_all_says_nothing(shown: str) -> None:
    """At the end of a program, after Python has cleared the modules."""
    command = [sys.executable, "-W", f"{shown}::ResourceWarning", "-c", LAST]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert ended.stderr == ""


@pytest.mark.parametrize(
    ("package", "program", "why"),
    [
        ("fastapi", "import omipay_async.fastapi", "fastapi.py"),
        ("aiohttp", "import omipay_async.aiohttp", "aiohttp.py"),
        ("sqlalchemy", "import omipay_async.sql", "'sqlalchemy' is not a package"),
        ("starlette", "import omipay_async.sandbox", "'starlette' is not a package"),
        ("redis", "from omipay_async.redis import RedisBackend; RedisBackend('redis://localhost')", "redis.py"),
        ("segno", "import omipay_async; omipay_async.QROrder('TR1', 'https://shop.example').qr_svg()", "segno.py"),
    ],
)
def test_a_file_of_the_user_that_hides_a_package_is_named(tmp_path: Path, package: str, program: str, why: str) -> None:
    """Such as a fastapi.py beside the program: beside what to install, the error shows what is wrong."""
    tmp_path.joinpath(f"{package}.py").write_text("", encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    error = ended.stderr.strip().rpartition("\n")[2]
    assert "pip install" in error
    assert why in error
