"""Makes the engine for a URL, checks one of the user's, and closes one. It does not connect."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import secrets
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import StaticPool
from sqlalchemy.util import await_only

from omipay_async.clock import retrieve_exception
from omipay_async.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection

BUSY_S: Final = 4.0
"""How long SQLite waits for another writer, and a handler for its order's lock; less than a transaction may take."""
_CONNECT_S: Final = 4.0
_CLOSING_S: Final = 2.0
"""How long PostgreSQL may take to close the connections of an engine."""
_LAST_TURNS_S: Final = 0.1
_KEEPALIVE: Final = "SET tcp_keepalives_idle = 60; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3"
"""After how many seconds PostgreSQL asks whether a silent client is still there; by default two hours. By then a
firewall on the way has forgotten the connection, and a machine that lost its power keeps the locks of its handlers.
"""
_DRIVERS: Final = {"sqlite": "aiosqlite", "postgresql": "asyncpg"}


def made_engine(url: str) -> AsyncEngine:
    """An engine for ``sqlite:///FILE`` or ``postgresql://...``.

    Raises:
        ConfigurationError: for any other URL. It is not shown, since it may contain a password.
    """
    try:
        parsed = make_url(url.strip())  # in a file of variables, Windows' line ends leave one after each value
    except (ArgumentError, ValueError):  # a port that is not a number: ValueError
        message = "url_or_engine: not a database URL, such as sqlite:///omipay.db or postgresql://user@host/name"
        raise ConfigurationError(message) from None
    name = "postgresql" if parsed.get_backend_name() == "postgres" else parsed.get_backend_name()
    driver = _DRIVERS.get(name)
    given = parsed.drivername.partition("+")[2]
    if driver is None or given not in {"", driver}:
        message = f"url_or_engine: {parsed.drivername} is not supported: use sqlite:///FILE or postgresql://..."
        raise ConfigurationError(message)
    parsed = parsed.set(drivername=f"{name}+{driver}")
    try:
        return _sqlite_engine(parsed) if name == "sqlite" else _postgresql_engine(parsed)
    except (ArgumentError, TypeError, ValueError):
        message = "url_or_engine: a host or an option of the URL, after the question mark, cannot be used"
    raise ConfigurationError(message)


def missing_file(url: str) -> str | None:
    """The name of the SQLite file of ``url`` if there is no such file, which connecting would make; else None."""
    parsed = make_url(url)
    file = parsed.database or ""
    if parsed.get_backend_name() != "sqlite" or file.startswith("file:") or Path(file).exists():
        return None
    return file


def _sqlite_engine(url: URL) -> AsyncEngine:
    if sqlite3.sqlite_version_info < (3, 35):
        message = f"this Python has SQLite {sqlite3.sqlite_version}: the books need 3.35 or later"
        raise ConfigurationError(message)
    if not url.database or ":memory:" in url.database or url.query.get("mode") == "memory":
        message = "url_or_engine: a database in memory is lost with the process: give a file, sqlite:///omipay.db"
        raise ConfigurationError(message)
    engine = create_async_engine(url, connect_args={"timeout": BUSY_S}, pool_timeout=BUSY_S)

    @event.listens_for(engine.sync_engine, "do_connect")
    def _open_once(_: object, __: object, arguments: Any, options: Any) -> None:
        # If aiosqlite cannot open a file, its thread may outlive the event loop, and then prints a traceback.
        await_only(asyncio.to_thread(_check_can_be_opened, *arguments, **options))

    @event.listens_for(engine.sync_engine, "connect")
    def _prepare(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        # The mode is stored in the file. Changing it needs exclusive access; another process may be doing so now.
        with contextlib.suppress(sqlite3.OperationalError):
            cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    return engine


def _check_can_be_opened(*arguments: Any, **options: Any) -> None:
    sqlite3.connect(*arguments, **options).close()


def _postgresql_engine(url: URL) -> AsyncEngine:
    if "sslmode" in url.query:  # libpq's name, which hosting services write into their URLs
        query = dict(url.query)
        query["ssl"] = query.pop("sslmode")
        url = url.set(query=query)
    unknown = sorted(set(url.query) - {*inspect.signature(asyncpg.connect).parameters, "prepared_statement_cache_size"})
    if unknown:  # such as libpq's channel_binding
        message = f"url_or_engine: asyncpg has no option {', '.join(unknown)}: leave it out of the URL"
        raise ConfigurationError(message)
    arguments = {"timeout": _CONNECT_S, "prepared_statement_name_func": _statement_name}
    engine = create_async_engine(url, connect_args=arguments, pool_timeout=_CONNECT_S)

    @event.listens_for(engine.sync_engine, "connect")
    def _prepare(connection: Any, _: object) -> None:
        with contextlib.suppress(asyncpg.PostgresError):  # the server's system may not have these options
            connection.run_async(lambda driver: driver.execute(_KEEPALIVE, timeout=_CONNECT_S))

    return engine


def _statement_name() -> str:
    """A name for a prepared statement that no other process uses.

    asyncpg numbers the statements of each process from 1. Behind PgBouncer several processes may have one connection
    in turn, and one of them would run the statement that another has prepared under the same name.
    """
    return f"omipay_{secrets.token_hex(12)}"


def checked_engine(engine: object) -> AsyncEngine:
    """The user's own engine, if the books can work with it."""
    if isinstance(engine, URL):  # str(url) would have asterisks in place of the password
        message = "url_or_engine: give the URL as text, url.render_as_string(hide_password=False), or an AsyncEngine"
        raise ConfigurationError(message)
    if not isinstance(engine, AsyncEngine):
        message = f"url_or_engine must be a URL or an AsyncEngine of SQLAlchemy, not {type(engine).__name__}"
        raise ConfigurationError(message)
    driver = _DRIVERS.get(engine.dialect.name)
    if engine.dialect.driver != driver:
        given = f"{engine.dialect.name} with {engine.dialect.driver}"
        message = f"url_or_engine: {given} is not supported: use sqlite+aiosqlite or postgresql+asyncpg"
        raise ConfigurationError(message)
    if driver == "asyncpg" and isinstance(engine.pool, StaticPool):
        message = (
            "url_or_engine: a StaticPool has one connection for all, and listening needs one for itself: "
            "use another pool, such as NullPool"
        )
        raise ConfigurationError(message)
    return engine


async def dispose(engine: AsyncEngine, drivers: Collection[Any]) -> None:
    """Close the connections of an engine, also if PostgreSQL stands still: SQLAlchemy would wait for it without end.

    ``drivers`` are asyncpg's objects for them. After two seconds they are closed without asking the server.
    """
    closing = asyncio.create_task(engine.dispose())
    closing.add_done_callback(retrieve_exception)
    try:
        await asyncio.wait((closing,), timeout=_CLOSING_S)
    finally:
        if not closing.done() or closing.cancelled():
            for driver in tuple(drivers):
                driver.terminate()
            # SQLAlchemy 2.0 goes on waiting, although the connection is gone.
            asyncio.get_running_loop().call_later(_LAST_TURNS_S, closing.cancel)
    await asyncio.wait((closing,))
    if not closing.cancelled():
        closing.result()
