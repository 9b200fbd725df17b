"""Which URLs and engines the books accept, and the errors for all others."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import attrs
import pytest
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import StaticPool

import omipay_async.sql
from omipay_async.errors import BackendError, ConfigurationError, JournalError
from omipay_async.fulfilment.backends import Claim
from omipay_async.sql import Books, engines, tasks
from tests.support.entries import DONE, UNKNOWN, engine_url, entry, execute, held_connection
from tests.support.shop_effects import create_outbox, effects, run, ship, ship_and_fail
from tests.support.waiting import until_idle

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from omipay_async import Order
    from tests.support.postgres_server import PostgresServer

KEY = "123456:TR1"


@pytest.mark.parametrize(
    ("url", "rendered"),
    [
        ("sqlite:///omipay.db", "sqlite+aiosqlite:///omipay.db"),
        ("sqlite:///omipay.db\r", "sqlite+aiosqlite:///omipay.db"),
        ("sqlite+aiosqlite:////var/omipay.db", "sqlite+aiosqlite:////var/omipay.db"),
        ("postgresql://shop:hunter2@db/omipay", "postgresql+asyncpg://shop:***@db/omipay"),
        ("postgresql+asyncpg://db/omipay", "postgresql+asyncpg://db/omipay"),
        ("postgres://db/omipay?sslmode=require", "postgresql+asyncpg://db/omipay?ssl=require"),
    ],
)
def test_urls_as_people_write_them(url: str, rendered: str) -> None:
    """A URL may name the driver or not, and may have libpq's option for TLS; its password is not shown."""
    assert repr(Books(url)) == f"<Books: {rendered}, lease 30 s>"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "omipay.db",
        "mysql://hunter2@db/omipay",
        "sqlite+pysqlite:///a.db",
        "postgresql+psycopg://db/a",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:x?mode=memory&uri=true",
        "sqlite:///omipay.db?timeout=hunter2",
        "sqlite:///omipay.db?timeout=1&timeout=2",
        "sqlite://host/omipay.db",
        "postgresql://shop@db:hunter2/omipay",
        "postgresql://shop@[::1/omipay",
        "postgresql://db/omipay?connect_timeout=hunter2",
        7,
        None,
    ],
)
def test_a_wrong_url_or_engine_is_refused(url: Any) -> None:
    """Other databases, other drivers and databases in memory are, and objects that are neither."""
    with pytest.raises(ConfigurationError, match="url_or_engine") as caught:
        Books(url)
    assert "hunter2" not in str(caught.value)


def test_an_option_that_asyncpg_does_not_have_is_named() -> None:
    """Hosting services write libpq's options into their URLs. Each use of the books would fail."""
    with pytest.raises(ConfigurationError, match="asyncpg has no option channel_binding, options: leave it out"):
        Books("postgresql://db/omipay?sslmode=require&options=project%3Dx&channel_binding=require")
    Books("postgresql://db/omipay?prepared_statement_cache_size=0&command_timeout=5")


def test_a_password_among_the_parameters_is_not_shown() -> None:
    """PostgreSQL's URLs may have it there too."""
    books = Books("postgresql://db/omipay?user=till&password=hunter2")
    assert repr(books) == "<Books: postgresql+asyncpg://db/omipay?user=till, lease 30 s>"


@pytest.mark.parametrize("lease", [0, -1, float("nan"), "30", None])
def test_a_wrong_lease_is_refused(lease: Any) -> None:
    """The error names it, and comes when the books are made."""
    with pytest.raises(ConfigurationError, match="lease"):
        Books("sqlite:///omipay.db", lease=lease)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgresql://127.0.0.1:99999/omipay", "OverflowError: .*port"),
        (f"postgresql://{'d' * 64}.example/omipay", r"Unicode\w*Error: .*label"),
        ("sqlite:///omi\0pay.db", "ValueError: .*null"),
    ],
)
async def test_what_a_driver_cannot_use_is_an_error_of_the_books(url: str, why: str) -> None:
    """The URL has a port that does not exist, for example. The error says what is wrong."""
    async with Books(url) as books:
        with pytest.raises(JournalError, match=why):
            await books.unresolved()
        with pytest.raises(BackendError, match=why):
            await books.claim("key", "owner")


def test_an_old_sqlite_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error comes before any statement that it does not understand."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    with pytest.raises(ConfigurationError, match=r"need 3\.35"):
        Books("sqlite:///omipay.db")


async def test_one_connection_for_all_is_refused_where_something_listens() -> None:
    """The listener would keep PostgreSQL's only connection, and nothing else would ever be answered."""
    engine = create_async_engine("postgresql+asyncpg://shop@db/omipay", poolclass=StaticPool)
    with pytest.raises(ConfigurationError, match="StaticPool has one connection for all"):
        Books(engine)


def test_the_object_of_a_url_is_refused_with_what_to_give_in_its_place() -> None:
    """Its ``str`` would have asterisks in place of the password."""
    url: Any = make_url("postgresql://shop:hunter2@db/omipay")
    with pytest.raises(ConfigurationError, match=r"render_as_string\(hide_password=False\)") as caught:
        Books(url)
    assert "hunter2" not in str(caught.value)


async def test_an_engine_with_another_driver_is_refused() -> None:
    """The books support aiosqlite and asyncpg."""
    engine = create_async_engine("sqlite+aiosqlite://")
    engine.dialect.driver = "other"
    with pytest.raises(ConfigurationError, match="other is not supported"):
        Books(engine)
    await engine.dispose()


async def test_closing_an_engine_that_does_not_end_closes_its_connections_without_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SQLAlchemy would wait for PostgreSQL without end, also when the connections are gone."""
    monkeypatch.setattr(engines, "_CLOSING_S", 0)
    monkeypatch.setattr(engines, "_LAST_TURNS_S", 0)
    engine, driver = Mock(dispose=asyncio.Event().wait), Mock()
    async with asyncio.timeout(60):
        await engines.dispose(engine, [driver])
    driver.terminate.assert_called_once_with()


def test_a_file_that_connecting_would_make_is_found_before(tmp_path: Path) -> None:
    """A command that only looks must not leave an empty database behind because of a wrong path."""
    missing = str(tmp_path / "shop.db")
    assert engines.missing_file(f"sqlite:///{missing}") == missing
    assert engines.missing_file(f"sqlite:///file:{missing}?uri=true") is None  # SQLite's own way to write it
    assert engines.missing_file(f"postgresql://db/{missing}") is None
    Path(missing).touch()
    assert engines.missing_file(f"sqlite:///{missing}") is None


def begin_by_event(engine: Any) -> None:
    """Begin transactions as SQLAlchemy's documentation tells users of SQLite to do."""

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")


@pytest.mark.parametrize(
    "options", [{}, {"isolation_level": "AUTOCOMMIT"}, {"isolation_level": "SERIALIZABLE"}], ids=str
)
@pytest.mark.parametrize("prepare", [lambda _: None, begin_by_event], ids=["plain", "own BEGIN"])
async def test_an_engine_of_the_user_works_and_is_not_closed(url: str, options: dict[str, Any], prepare: Any) -> None:
    """That holds for each isolation level, and with events that begin transactions."""
    engine = create_async_engine(engine_url(url), **options)
    if "sqlite" in url:
        prepare(engine)
    async with Books(engine) as books:
        await books.create_tables()
        await books.closing(entry(outcome=UNKNOWN))
        assert await books.claim(KEY, "me") is Claim.MINE
        assert await books.claim(KEY, "you") is Claim.BUSY
        assert len(await books.unresolved()) == 1
        await books.release(KEY, "me")
        await create_outbox(books)

        with pytest.raises(ValueError, match="TR1"):
            await run(books, books.transactional(ship_and_fail))
        assert await effects(books) == 0
        assert await run(books, books.transactional(ship)) is True
        assert await effects(books) == 1
    async with engine.connect() as connection:
        assert (await connection.exec_driver_sql("SELECT count(*) FROM omipay_call")).scalar() == 1
    await engine.dispose()


async def test_a_pool_of_one_connection_is_enough(url: str) -> None:
    """The listener does not keep the connection that everything else needs, and closes its own in the end."""
    engine = create_async_engine(engine_url(url), pool_size=1, max_overflow=0)
    async with Books(engine) as books:
        await books.create_tables()
        await create_outbox(books)
        woken = asyncio.Queue[str]()
        async with books.listen(woken.put_nowait), asyncio.timeout(60):
            assert await run(books, books.transactional(ship)) is True
            await books.closing(entry(outcome=UNKNOWN))
            assert len(await books.unresolved()) == 1
            await books.wake(KEY)
            assert await woken.get() == KEY
        if "postgresql" in url:
            ours = "datname = current_database() AND application_name != 'psql'"
            count = f"SELECT count(*) FROM pg_stat_activity WHERE {ours}"
            async with asyncio.timeout(60):
                while await execute(books, count) != [(1,)]:  # the server needs a moment to end the other one
                    await asyncio.sleep(0.01)
    await engine.dispose()


async def test_nothing_is_lost_on_a_connection_that_all_share() -> None:
    """SQLAlchemy's engines for a database in memory have one, and readers must not roll back what others write."""
    engine = create_async_engine("sqlite+aiosqlite://")
    async with Books(engine) as books:
        await books.create_tables()
        await create_outbox(books)

        async def charge(number: int) -> None:
            call = entry(f"T{number}")
            await books.opening(call)
            await books.unresolved(in_flight=True)
            await books.closing(attrs.evolve(call, outcome=DONE, order_no=f"TX{number}"))

        async def list_calls(_: Order, __: AsyncConnection) -> None:
            await books.unresolved()

        with pytest.raises(JournalError, match="only connection"):
            await run(books, books.transactional(list_calls))
        fulfilled = run(books, books.transactional(ship))
        await asyncio.gather(fulfilled, *map(charge, range(10)))
        assert await effects(books) == 1
        assert await execute(books, "SELECT outcome, count(*) FROM omipay_call GROUP BY outcome") == [("DONE", 10)]
    await engine.dispose()


async def test_questions_do_not_pile_up_while_a_handler_hangs_on_a_connection_that_all_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each gives up in the end, and so does its task."""
    engine = create_async_engine("sqlite+aiosqlite://")
    async with Books(engine) as books, held_connection(books):
        monkeypatch.setattr(tasks, "ANSWER_S", 0.1)  # of the questions alone, since a busy machine connects slowly
        for _ in range(3):
            with pytest.raises(JournalError, match=r"within|TimeoutError"):
                await books.unresolved()
        await until_idle(books)
    await engine.dispose()


async def test_sqlite_is_set_up_for_concurrency_and_durability(sqlite_url: str) -> None:
    """With WAL readers do not wait for the writer; what is committed survives a loss of power."""
    async with Books(sqlite_url) as books:
        await books.create_tables()
        assert await execute(books, "PRAGMA journal_mode") == [("wal",)]
        assert await execute(books, "PRAGMA synchronous") == [(2,)]
        assert await execute(books, "PRAGMA busy_timeout") == [(4000,)]  # less than a transaction may take


async def test_postgresql_soon_asks_after_a_client_that_is_silent(postgres_url: str) -> None:
    """So no firewall forgets an idle connection, and a machine without power does not keep its locks for two hours."""
    async with Books(postgres_url) as books:
        options = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count")
        assert [await execute(books, f"SHOW {option}") for option in options] == [[("60",)], [("10",)], [("3",)]]


async def test_a_server_without_an_option_for_silent_clients_is_used(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not every system has each of them."""
    monkeypatch.setattr(engines, "_KEEPALIVE", "SET tcp_keepalives_idle = -1")
    async with Books(postgres_url) as books:
        await books.create_tables()
        assert await books.unresolved() == []


async def test_two_processes_give_no_statement_the_same_name(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind PgBouncer they may have one connection in turn, and would run what the other one has prepared."""
    names: list[str] = []
    for _ in range(2):
        monkeypatch.setattr("asyncpg.connection._uid", 0)  # asyncpg's numbering, as in a process that has just begun
        async with Books(postgres_url) as books:
            await books.create_tables()
            await books.note("123456:out_order_no:T1", "a note")
            names += [row.name for row in await execute(books, "SELECT name FROM pg_prepared_statements")]
    assert len(set(names)) == len(names) > 2


async def test_a_transaction_ends_in_time_when_all_connections_are_in_use(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool's own error, which says what to do, comes before the time limit."""
    monkeypatch.setattr(engines, "BUSY_S", 0.5)
    monkeypatch.setattr(engines, "_CONNECT_S", 2.0)
    async with Books(url) as books, contextlib.AsyncExitStack() as stack:
        await books.create_tables()
        for _ in range(15):
            await stack.enter_async_context(books._database._engine.connect())
        with pytest.raises(BackendError, match="QueuePool limit"):
            await books.claim(KEY, "me")


async def test_connecting_to_a_server_that_does_not_answer_ends_in_time(
    fragile: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connecting has its own time limit, which is shorter than that of a transaction."""
    monkeypatch.setattr(engines, "_CONNECT_S", 0.1)
    async with Books(fragile.database()) as books:
        fragile.freeze()
        with pytest.raises(BackendError, match="Timeout"):
            await books.claim(KEY, "me")


@pytest.mark.parametrize("module", ["sqlalchemy", "greenlet", "aiosqlite", "asyncpg"])
def test_without_the_extra_the_import_says_what_to_install(module: str) -> None:
    """It does not just name a module that users do not know."""
    code = f"import sys; sys.modules[{module!r}] = None; import omipay_async.sql"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    needs = 'ImportError: omipay_async.sql needs SQLAlchemy and its drivers: pip install "omipay-async[sql]"'
    assert needs in done.stderr
    assert module in done.stderr.rpartition(needs)[2]


def test_a_driver_that_nobody_uses_is_found_by_whoever_looks_for_imports() -> None:
    """PyInstaller looks for imports, and SQLAlchemy loads its drivers by their names."""
    tree = ast.parse(Path(omipay_async.sql.__file__).read_text(encoding="utf-8"))
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert {"aiosqlite", "asyncpg", "greenlet"} <= imported


FORKS = """
import asyncio, os, sys
from omipay_async import ConfigurationError
from omipay_async.sql import Books

async def close():
    async with asyncio.timeout(30):
        await books.aclose()

books = Books(sys.argv[1])
with asyncio.Runner() as runner:
    runner.run(books.create_tables())
    if not os.fork():
        try:
            runner.run(books.unresolved())
        except ConfigurationError as error:
            print(error)
        asyncio.run(close())
        print("closed", flush=True)
        os._exit(0)
    os.wait()
    print(runner.run(books.unresolved()))
    runner.run(close())
"""


def test_books_that_were_used_before_a_fork_can_only_be_closed_after_it(url: str) -> None:
    """In the other process, which does not have the thread that its connection needs: a server could not stop.

    Nor may two processes use one connection, also where the event loop is the same in both.
    """
    command = [sys.executable, "-W", "ignore", "-c", FORKS, url]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    refused = "these books were used before a fork: make Books after it, in each process"
    assert ended.stdout == f"{refused}\nclosed\n[]\n", ended.stderr
