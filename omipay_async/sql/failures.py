"""What the errors of a database mean: whether a transaction may be repeated, and what the caller is told.

A transaction is run again if the database rolled it back, or if its connection was lost. After a loss nobody knows
whether it was committed, but all statements of the books can be repeated. Callers get an error of this package, with
the reason on one line.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING, Final, TypeVar

import asyncpg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from omipay_async.errors import BackendError, JournalError, OmipayError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

T = TypeVar("T")
DatabaseError = type[BackendError] | type[JournalError]

_ATTEMPTS: Final = 5
"""How often a transaction is tried."""
_LONGEST_REASON: Final = 200
STATEMENT_ERRORS: Final = (DBAPIError, asyncpg.InternalClientError)
"""What a statement may raise. SQLAlchemy 2.0 does not translate the second one: asyncpg raises it, before it sends
anything, on a connection that the server is closing."""
DATABASE_ERRORS: Final = (
    SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)
"""The errors of a database that is lost, full, wrong or overloaded. (A ``TimeoutError`` is an ``OSError``.)"""
_FOREIGN_STATEMENTS: Final = (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError)
"""A connection does not have a statement that was prepared on it, or has one of another process: a pooler gave another
connection of the server."""
_ROLLED_BACK: Final = frozenset({"40001", "40P01"})
"""PostgreSQL's serialization failure and deadlock."""
_NO_CONNECTION_LEFT: Final = "53300"


class NotConnectedError(SQLAlchemyError):
    """A driver cannot use the host or an option of the URL; ``orig`` is why."""

    def __init__(self, orig: Exception) -> None:
        super().__init__(str(orig))
        self.orig = orig


async def repeated(
    work: Callable[[], Awaitable[T]],
    may_be_repeated: Callable[[Exception], bool] = lambda error: is_rolled_back(error) or is_lost(error),
) -> T:
    """Return what ``work`` returns. It is called again after failures that may be repeated."""
    for attempt in range(1, _ATTEMPTS):
        try:
            return await work()
        except STATEMENT_ERRORS as error:
            if not may_be_repeated(error):
                raise
        await asyncio.sleep(random.uniform(0, 0.02) * attempt)  # so that two that have met do not meet again
    return await work()


def is_rolled_back(error: BaseException) -> bool:
    """Whether PostgreSQL rolled the transaction back because of another one, so that it may be repeated."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _ROLLED_BACK


def is_server_full(error: BaseException) -> bool:
    """Whether PostgreSQL has as many connections as it, or this user, may have: one may be free in a moment."""
    return getattr(getattr(error, "orig", error), "sqlstate", None) == _NO_CONNECTION_LEFT


def is_lost(error: BaseException) -> bool:
    """Whether the connection was lost. Nobody knows whether a commit that was under way took place."""
    return isinstance(error, asyncpg.InternalClientError) or getattr(error, "connection_invalidated", False)


@contextlib.contextmanager
def translated(kind: DatabaseError) -> Iterator[None]:
    """Raise ``kind``, with the reason, for each error of the database, and of what the user's engine calls."""
    try:
        yield
    except OmipayError:
        raise
    except DATABASE_ERRORS as error:
        raise translation(kind, error) from None  # the original contains objects of drivers, which do not pickle
    except Exception as error:
        # An engine may have hooks of the user, which may raise anything: an error whose text may contain a password.
        message = f"a request to the database failed: {type(error).__name__}"
        raise kind(message) from error


def translation(kind: DatabaseError, error: BaseException) -> BackendError | JournalError:
    """An error of this package for an error of the database."""
    return kind(f"a request to the database failed: {reason(error)}")


def reason(error: BaseException) -> str:
    """What went wrong, on one line of limited length. Databases do not quote passwords in their messages."""
    copied = getattr(error, "orig", None)  # SQLAlchemy's copy of a driver's error
    origin = error if copied is None else copied.__cause__ or copied
    text = "".join(c if c.isprintable() else " " for c in str(origin).partition("\n")[0])[:_LONGEST_REASON]
    if isinstance(origin, TimeoutError) and not text:
        text = "it did not answer in time"
    return f"{type(origin).__name__}: {text}{_advice(origin, text)}" if text else type(origin).__name__


def _advice(error: BaseException, text: str) -> str:
    if "no such table" in text or isinstance(error, asyncpg.UndefinedTableError):
        return " (call create_tables() once; or is this another database than your program's?)"
    if "unable to open database file" in text:
        return " (its folder must exist and be writable; a path from the root has four slashes: sqlite:////srv/shop.db)"
    if isinstance(error, _FOREIGN_STATEMENTS):
        return " (behind PgBouncer add ?prepared_statement_cache_size=0 to the URL: see the guide to the books)"
    return ""
