"""The books: money calls, orders and what was done about them, in the merchant's own database (extra ``sql``).

    books = Books("sqlite:///omipay.db")
    async with books, AsyncOmipay.from_env(journal=books, backend=books) as omipay:
        await books.create_tables()
        await books.run(omipay, books.transactional(handler))

``tables`` holds the two tables, ``database`` what depends on the kind of database, ``claims`` the questions of the
once-guard, ``entries`` what became of money calls, ``effects`` the transaction of a handler, ``sweeping`` the questions
about orders that are not settled, ``listening`` the wake-ups; ``books`` puts them together.
"""

from __future__ import annotations

from importlib.util import find_spec

if not all(map(find_spec, ("sqlalchemy", "greenlet", "aiosqlite", "asyncpg"))):
    message = 'omipay_async.sql needs SQLAlchemy and its drivers: pip install "omipay-async[sql]"'
    raise ImportError(message)

from .books import Books
from .sweeping import SweepReport
from .tables import WaitingOrder, metadata

__all__ = ["Books", "SweepReport", "WaitingOrder", "metadata"]
