"""The books: a record of money calls and orders in the merchant's own database (extra ``sql``).

    books = Books("sqlite:///omipay.db")
    async with books, AsyncOmipay.from_env(journal=books, backend=books) as omipay:
        await books.create_tables()
        await books.run(omipay, books.transactional(handler))

``books`` is the class that users hold. It has a part for each question:

- As a journal: ``entries`` records what became of money calls, and ``resolving`` what a person found out about them.
- As a backend: ``claims`` answers the once-guard, and ``listening`` receives wake-ups.
- For fulfilment: ``effects`` runs a handler and records its success in one transaction, ``due_orders`` knows when to
  ask about the orders that are not settled, and ``sweeping`` asks.
- All of them use one ``database``, which runs transactions. ``held`` holds a connection for longer, ``tasks`` lets
  callers leave in time, and ``failures`` knows what the errors mean.
- ``tables`` defines the two tables, ``engines`` makes and closes the engine of a URL, and ``dialect`` is what SQLite
  and PostgreSQL do differently.
"""

from __future__ import annotations

try:
    import aiosqlite
    import asyncpg
    import greenlet
    import sqlalchemy.ext.asyncio
except ImportError as error:
    message = f'omipay_async.sql needs SQLAlchemy and its drivers: pip install "omipay-async[sql]" ({error})'
    raise ImportError(message) from error
else:  # imported for the message, and for programs such as PyInstaller, which include what they see imported
    del aiosqlite, asyncpg, greenlet, sqlalchemy

from .books import Books
from .sweeping import SweepReport
from .tables import WaitingOrder, metadata

__all__ = ["Books", "SweepReport", "WaitingOrder", "metadata"]
