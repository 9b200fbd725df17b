"""``omipay books``: what it lists, how a person resolves a call, a sweep without handlers."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from typing import TYPE_CHECKING, Any

import aiosqlite
import pytest

from omipay_async.sql import Books
from tests.support.entries import DONE, UNKNOWN, entry, execute, make_due

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from .conftest import Cli

M = "123456"


@pytest.fixture
def db(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'omipay.db'}"


def with_books(db: str, work: Callable[[Books], Awaitable[Any]]) -> Any:
    """The result of ``work`` with books whose tables exist."""

    async def run() -> Any:
        async with Books(db) as books:
            await books.create_tables()
            return await work(books)

    return asyncio.run(run())


async def one_lost_call(books: Books) -> None:
    await books.closing(entry("T\x1b[31m1", id="lost", outcome=UNKNOWN, error="OutcomeUnknown"))
    await books.closing(entry("T2", id="made", outcome=DONE, order_no="TR2"))


def test_it_lists_what_is_unresolved_and_what_is_waited_for(cli: Cli, db: str) -> None:
    """They are lines for people. Escape sequences in a number are escaped."""
    with_books(db, one_lost_call)
    ended = cli("books", "--db", db)
    assert ended.code == 0
    head, call, second, order = ended.out.splitlines()
    assert head.endswith("nobody knows: 1")
    assert "lost" in call
    assert "AUD 4.50" in call
    assert r"T\x1b[31m1" in call
    assert second.endswith("not paid or not fulfilled yet: 1")
    assert "TR2" in order


def test_what_a_crash_has_just_cut_off_is_listed(cli: Cli, db: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the time of a call is over it may be under way: it is not unresolved yet, but not forgotten either."""

    async def two_calls(books: Books) -> None:
        await books.opening(entry("T1", id="late", age=60))
        await books.opening(entry(None, id="now", endpoint="Refund", out_refund_no="R1", order_no="TR1"))

    with_books(db, two_calls)
    head, late, second, now, _ = cli("books", "--db", db).out.splitlines()
    assert head.endswith("nobody knows: 1")
    assert late.endswith("AUD 4.50 its program died or could not write")
    assert second.endswith("has just cut off: 1")
    assert re.search(r"now .* Refund R1 \(TR1\) AUD 4.50 look again after 20\S+ \S+\+00:00$", now)
    document = cli("books", "--db", db, "--json").document
    assert [[call["id"] for call in document[name]] for name in ("unresolved", "in_flight")] == [["late"], ["now"]]
    monkeypatch.setenv("OMIPAY_LANGUAGE", "CHS")
    chinese = cli("books", "--db", db).out
    assert "程序已中断，或无法写入" in chinese
    assert "仍在进行、或刚因崩溃而中断的调用：1 笔" in chinese


def test_it_lists_every_order_that_is_waited_for(cli: Cli, db: str) -> None:
    """However many they are: the number in the heading is true."""

    async def many_orders(books: Books) -> None:
        await books.closing(entry("T1", outcome=DONE, order_no="TR1"))
        numbers = "WITH RECURSIVE n (i) AS (VALUES (2) UNION SELECT i + 1 FROM n WHERE i < 1500) "
        copies = "SELECT m_number, 'tr' || i, 'TR' || i, made_at, due_at FROM omipay_order, n"
        await execute(books, f"{numbers} INSERT INTO omipay_order (m_number, key, order_no, made_at, due_at) {copies}")

    with_books(db, many_orders)
    ended = cli("books", "--db", db)
    assert "not fulfilled yet: 1500" in ended.out


def test_an_order_that_was_never_asked_about_is_listed_with_its_sale(cli: Cli, db: str) -> None:
    """With the number, amount and status of its call, and a dash for what is not known."""

    async def two_orders(books: Books) -> None:
        await books.closing(entry("T2", id="made", outcome=DONE, order_no="TR2", status="PAYING"))
        await books.closing(entry("T1", id="lost", outcome=UNKNOWN))
        await books.resolve("lost", "DONE", order_no="TR1")

    with_books(db, two_orders)
    listed = cli("books", "--db", db).out
    assert f"TR1 {M} - - - next query at" in listed
    assert f"TR2 {M} T2 AUD 4.50 PAYING next query at" in listed


def test_it_lists_in_chinese(cli: Cli, db: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The headings, the time of the next query and missing values. Numbers and codes are not translated."""
    with_books(db, one_lost_call)
    monkeypatch.setenv("OMIPAY_LANGUAGE", "CHS")
    head, call, second, order = cli("books", "--db", db).out.splitlines()
    assert (head, second) == ("结果未知的调用：1 笔", "尚未支付或尚未处理的订单：1 笔")
    assert "MakeScanOrder" in call
    assert "AUD 4.50" in call
    assert "TR2" in order
    assert "下次查询 " in order
    monkeypatch.delenv("OMIPAY_BOOKS_URL", raising=False)
    assert "请用 --db 或 OMIPAY_BOOKS_URL 指明账本的位置" in cli("books").complaint


def test_it_lists_for_machines(cli: Cli, db: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Money as integers, times as ISO 8601. A variable can replace ``--db``."""
    with_books(db, one_lost_call)
    monkeypatch.setenv("OMIPAY_BOOKS_URL", db)
    document = cli("books", "--json").document
    (call,) = document["unresolved"]
    (order,) = document["waiting"]
    assert (call["id"], call["amount"], call["outcome"]) == ("lost", 450, "UNKNOWN")
    assert call["started_at"].endswith("+00:00")
    assert "\x1b" not in call["out_order_no"]
    assert order["order_no"] == "TR2"


def test_a_person_resolves_a_call(cli: Cli, db: str) -> None:
    """The order that was found is then waited for."""
    with_books(db, one_lost_call)
    ended = cli("books", "resolve", "lost", "done", "--order-no", "TR1", "--db", db, "--json")
    assert ended.document == {"id": "lost", "outcome": "DONE", "order_no": "TR1"}
    assert with_books(db, lambda books: books.unresolved()) == []
    assert {order.order_no for order in with_books(db, lambda books: books.waiting())} == {"TR1", "TR2"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("resolve", "nobody", "DONE"), "ID: no such entry in these books: an id must be whole"),
        (("resolve", "lost", "PERHAPS"), "OUTCOME must be one of"),
        (("resolve", "lost", "DONE", "--order-no", ""), "--order-no must be"),
        (("resolve", "lost", "NOT_DONE", "--order-no", "TR1"), "--order-no: an order that has a number was made"),
        (("resolve", "lost"), "OUTCOME"),
        (("sweep", "--limit", "0"), "limit"),
    ],
)
def test_what_cannot_be_done_is_named(cli: Cli, db: str, arguments: tuple[str, ...], says: str) -> None:
    """Bad input: exit code 2, one line."""
    with_books(db, one_lost_call)
    ended = cli("books", *arguments, "--db", db)
    assert ended.code == 2
    assert says in ended.complaint


def test_options_may_stand_before_the_subcommand(cli: Cli, db: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """These books are changed, not those of the environment; options behind the subcommand come first."""
    with_books(db, one_lost_call)
    monkeypatch.setenv("OMIPAY_BOOKS_URL", "sqlite:///others.db")
    assert cli("books", "--db", db, "--json", "resolve", "lost", "UNKNOWN").document["id"] == "lost"
    assert cli("books", "--db", "sqlite:///others.db", "resolve", "lost", "DONE", "--db", db).code == 0
    assert with_books(db, lambda books: books.unresolved()) == []


def test_without_a_url_it_shows_how_to_give_one(cli: Cli) -> None:
    """Neither ``--db`` nor the variable is set."""
    ended = cli("books")
    assert ended.code == 2
    assert "OMIPAY_BOOKS_URL" in ended.complaint


def test_a_url_that_cannot_be_used_is_named_as_on_the_command_line(cli: Cli) -> None:
    """The user typed no ``url_or_engine``."""
    ended = cli("books", "--db", "till.db")
    assert (ended.code, ended.complaint.count("url_or_engine")) == (2, 0)
    assert "--db or OMIPAY_BOOKS_URL: not a database URL, such as sqlite:///omipay.db" in ended.complaint


def test_a_url_in_quotes_is_an_error_that_says_so(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """This is so for every variable: a file for Docker's ``--env-file`` must not have them."""
    monkeypatch.setenv("OMIPAY_BOOKS_URL", '"sqlite:///omipay.db"')
    ended = cli("books")
    assert (ended.code, "OMIPAY_BOOKS_URL: the value is in quotes" in ended.complaint) == (2, True)


def test_a_file_that_does_not_exist_is_not_made(cli: Cli, tmp_path: Path) -> None:
    """Exit code 2: whoever is in another folder than the program would be shown empty books."""
    ended = cli("books", "--db", f"sqlite:///{tmp_path / 'till.db'}?timeout=1")
    assert ended.code == 2
    assert f"there is no file {tmp_path / 'till.db'}: go to the folder of your program" in ended.complaint
    assert not (tmp_path / "till.db").exists()


def test_missing_tables_are_exit_code_4(cli: Cli, db: str, tmp_path: Path) -> None:
    """The message contains what is missing."""
    (tmp_path / "omipay.db").touch()
    ended = cli("books", "--db", db)
    assert ended.code == 4
    assert "create_tables" in ended.complaint


def test_without_the_extra_it_shows_what_to_install(cli: Cli, db: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLAlchemy is needed only for the books."""
    monkeypatch.setitem(sys.modules, "omipay_async.sql", None)
    ended = cli("books", "--db", db)
    assert ended.code == 2
    assert "omipay_async.sql" in ended.complaint


def test_a_sweep_asks_and_marks(cli: Cli, db: str) -> None:
    """It runs no handler: a paid order waits for a program that has one."""

    async def sell() -> str:
        async with cli.sandbox.session() as omipay:
            made = await omipay.make_qr_order(
                order_name="Tea", amount=450, currency="AUD", out_order_no="T1", platform="WECHATPAY"
            )
        await cli.sandbox.customer.pays(made.order_no)
        return made.order_no

    number = asyncio.run(sell())

    async def write(books: Books) -> None:
        await books.closing(entry("T1", m_number=cli.sandbox.merchant.m_number, outcome=DONE, order_no=number))
        await make_due(books)

    with_books(db, write)
    ended = cli("books", "sweep", "--db", db, "--json")
    assert ended.document == {"fulfilled": 0, "waiting": 1, "failed": 0, "errors": 0, "unresolved": 0}
    assert with_books(db, lambda books: execute(books, "SELECT status FROM omipay_order")) == [("PAID",)]


def test_a_sweep_that_could_not_ask_says_so(cli: Cli, db: str) -> None:
    """With exit code 4, for whoever starts it from a timetable, and why. The report is printed all the same."""

    async def write(books: Books) -> None:
        await books.closing(entry("T1", m_number=cli.sandbox.merchant.m_number, outcome=DONE, order_no="TR0"))
        await make_due(books)

    with_books(db, write)
    ended = cli("books", "sweep", "--db", db, "--json")
    assert ended.document == {"fulfilled": 0, "waiting": 0, "failed": 0, "errors": 1, "unresolved": 0}
    assert ended.code == 4
    assert "could not be asked about: 1; the last one: order TR0: the gateway does not know it" in ended.complaint


def test_what_sqlalchemy_logs_of_a_connection_is_not_printed(
    cli: Cli, db: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even if Ctrl-C is pressed again while a connection is closed: it would be a traceback."""
    with_books(db, one_lost_call)
    close = aiosqlite.Connection.close

    async def cut_off(connection: aiosqlite.Connection) -> None:
        await close(connection)
        raise asyncio.CancelledError

    monkeypatch.setattr(aiosqlite.Connection, "close", cut_off)
    monkeypatch.setattr(logging.root, "handlers", [])  # as in a process of its own: Python prints what nobody handles
    ended = cli("books", "--db", db)
    assert (ended.code, ended.err) == (0, "")
