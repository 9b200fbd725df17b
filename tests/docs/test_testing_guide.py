"""The guide to testing: its programs are test suites that pass, and its tables say what the code does."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from omipay_async import ErrorCode
from omipay_async.sandbox import Fault, PaymentCode
from tests.support.markdown import DOCS, blocks, save_files

if TYPE_CHECKING:
    from pathlib import Path

PAGE = DOCS / "testing.md"


def run(folder: Path, *options: str) -> str:
    """The report of pytest on a folder, run as a reader runs it."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, str(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_program_is_a_suite_that_passes(tmp_path: Path) -> None:
    """Saved as printed and run in a process of its own."""
    saved = save_files(PAGE, tmp_path)
    suites = {"test_till.py", "test_lost_reply.py", "test_books.py", "test_shop.py", "test_fastapi_shop.py"}
    assert {path.name for path in saved} == {*suites, "pytest.ini"}
    assert len(blocks(PAGE)) == len(suites)
    save_files(DOCS / "shop.md", tmp_path)  # the shop that the last of them tests
    assert f"{len(suites)} passed" in run(tmp_path, "-W", "error")


@pytest.mark.parametrize(
    ("mark", "options"),
    [("asyncio", ("-o", "asyncio_mode=strict")), ("anyio", ("-p", "no:asyncio"))],
)
def test_the_fixtures_work_under_both_runners(tmp_path: Path, mark: str, options: tuple[str, ...]) -> None:
    """As the guide says: marked for pytest-asyncio's strict mode, or for anyio."""
    (program,) = [block.code for block in blocks(PAGE) if block.file == "test_till.py"]
    backend = '\n\n@pytest.fixture\ndef anyio_backend() -> str:\n    return "asyncio"\n'
    marked = program.replace("async def test_", f"@pytest.mark.{mark}\nasync def test_")
    (tmp_path / "test_till.py").write_text(f"import pytest\n{marked}{backend}", encoding="utf-8")
    assert "1 passed" in run(tmp_path, *options)


NO_THREADS = """
import anyio.to_thread


async def refuse(*_arguments: object, **_options: object) -> None:
    raise AssertionError("a thread was used, which omipay_clock cannot see")


anyio.to_thread.run_sync = refuse
"""


def test_nothing_in_the_shop_of_the_guide_runs_in_a_thread(tmp_path: Path) -> None:
    """FastAPI runs a dependency that is not asynchronous in one. The clock would jump over a wait meanwhile."""
    (program,) = [block.code for block in blocks(PAGE) if block.file == "test_shop.py"]
    (tmp_path / "test_shop.py").write_text(program, encoding="utf-8")
    (tmp_path / "conftest.py").write_text(NO_THREADS, encoding="utf-8")
    assert "1 passed" in run(tmp_path, "-o", "asyncio_mode=auto")


WITH_TEST_CLIENT = """
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from omipay_async.fastapi import OmipayDep, get_omipay, lifespan, notification_route
from omipay_async.sql import Books

shipped = []


async def ship(order, connection):
    shipped.append(order.out_order_no)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_shop_with_books(omipay_sandbox, omipay_clock, tmp_path):
    books = Books(f"sqlite:///{tmp_path}/books.db", clock=omipay_clock)

    @asynccontextmanager
    async def life(app):
        session = lambda: omipay_sandbox.session(journal=books, backend=books)
        async with books, lifespan(session)(app):
            await books.create_tables()
            yield

    app = omipay_sandbox.app = FastAPI(lifespan=life)
    app.include_router(notification_route(get_omipay, books.transactional(ship)))

    @app.post("/buy")
    async def buy(omipay: OmipayDep) -> str:
        goods = {"order_name": "Flat white", "amount": 450, "currency": "AUD", "platform": "WECHATPAY"}
        return (await omipay.make_qr_order(**goods, out_order_no="WEB-1")).order_no

    with TestClient(app) as client:
        client.portal.call(omipay_sandbox.customer.pays, client.post("/buy").json())
        client.portal.call(omipay_sandbox.settle)
    assert shipped == ["WEB-1"]
"""


def test_a_shop_with_books_can_be_tested_with_a_test_client(tmp_path: Path) -> None:
    """Each step runs in the event loop of the client, which is that of the books."""
    (tmp_path / "test_client.py").write_text(WITH_TEST_CLIENT, encoding="utf-8")
    assert "1 passed" in run(tmp_path)


def test_the_tables_are_current() -> None:
    """Each fault and each payment code, with what it does."""
    page = PAGE.read_text(encoding="utf-8")
    for fault in Fault:
        assert f"| `{fault}` | {fault.description} | {f'{fault.seconds:g} |' if fault.seconds else '|'}" in page
    for code in PaymentCode:
        assert f"| `PaymentCode.{code.name}` | `{code}` | {code.description} |" in page


def test_the_page_says_how_each_error_code_comes_about() -> None:
    """By a payment code, by a fault, or in the table of the others."""
    page = PAGE.read_text(encoding="utf-8")
    assert [code for code in ErrorCode if not re.search(rf"\b{code}\b", page)] == []
