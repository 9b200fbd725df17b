"""``Books``, the class that users hold. Its methods check their arguments, and the other modules do the work."""

from __future__ import annotations

import functools
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Self

from sqlalchemy import func, select

from omipay_async import options
from omipay_async.clock import SystemClock, completed
from omipay_async.errors import JournalError
from omipay_async.fulfilment.backends import DEFAULT_LEASE_S, Claim
from omipay_async.fulfilment.handlers import checked_handler
from omipay_async.protocol import validation
from omipay_async.text import plain_value

from .claims import Claims
from .database import Database
from .due_orders import DueOrders
from .effects import Effects, lock_number
from .entries import Entries
from .listening import Listening
from .resolving import resolve_call
from .sweeping import Sweeping, SweepReport
from .tables import metadata

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from omipay_async.clock import Clock
    from omipay_async.journal import JournalEntry, JournalOutcome
    from omipay_async.models import Order
    from omipay_async.session import AsyncOmipay

    from .effects import TransactionalHandler
    from .tables import WaitingOrder

_CREATION_S: Final = 30.0
"""How long creating the tables may take: another process may be creating them."""
LARGEST_LIMIT: Final = 1_000_000


class Books:
    """A record of money calls and orders in a database. It is a ``Journal`` and a ``Backend``.

        async with Books("sqlite:///omipay.db") as books:
            await books.create_tables()
            async with AsyncOmipay.from_env(journal=books, backend=books) as omipay: ...

    Args:
        url_or_engine: ``sqlite:///FILE`` for the processes of one machine, ``postgresql://user:password@host/name``
            for several machines, or an ``AsyncEngine`` of your own over aiosqlite or asyncpg, which you close yourself.
        lease: How long, in seconds, an order waits after the death of the process that was fulfilling it.
        clock: The time of this machine, which is SQLite's too; PostgreSQL has its own clock.

    Nothing is connected before the first use. Books belong to one event loop. Several sessions, of several merchants
    too, may share them; so may any number of processes.

    Every failure of the database is a ``JournalError``, or in the methods of a backend a ``BackendError``: then no
    money call is sent and no handler runs. It is raised after five seconds at most; the opening of a money call may use
    the time in which the call may still be sent, and ``create_tables`` thirty seconds.

    Raises:
        ConfigurationError: for a wrong URL, engine or lease, and for use in a second event loop.
    """

    def __init__(
        self, url_or_engine: str | AsyncEngine, *, lease: float = DEFAULT_LEASE_S, clock: Clock | None = None
    ) -> None:
        self.lease = options.duration("lease", lease)
        self._database = Database(url_or_engine, SystemClock() if clock is None else clock)
        self._claims = Claims(self._database, self.lease)
        self._entries = Entries(self._database)
        self._effects = Effects(self._database, self._claims)
        self._due_orders = DueOrders(self._database, self._entries, self._claims)
        self._sweeping = Sweeping(self._due_orders, self._entries)
        self._listening = Listening(self._database)

    def __repr__(self) -> str:
        return f"<Books: {self._database!r}, lease {self.lease:g} s>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections of an engine that was made from a URL. A later use connects again.

        If this is cancelled, the connections are closed in the background.
        """
        if not self._database.leave_to_parent():
            await completed(self._close)

    async def _close(self) -> None:
        try:
            await self._listening.stop()
        finally:
            await self._database.aclose()

    async def create_tables(self) -> None:
        """Create the two tables and their indexes, unless they exist. Several processes may do so at the same time.

        If you change your database by migrations, give ``omipay_async.sql.metadata`` to Alembic instead.

        Raises:
            JournalError: the database did not answer, or its user may not create tables.
        """

        async def work(connection: AsyncConnection) -> None:
            if not self._database.dialect.is_sqlite:
                await connection.execute(select(func.pg_advisory_xact_lock(lock_number(("create", "tables")))))
            await connection.run_sync(metadata.create_all)

        await self._database.write(work, JournalError, limit=_CREATION_S)

    # -- the journal ------------------------------------------------------------------------------------------------

    async def opening(self, entry: JournalEntry) -> None:
        """Write down that a money call is about to be sent. Raises ``JournalError``: then it is not sent."""
        await self._entries.opening(entry)

    async def closing(self, entry: JournalEntry) -> None:
        """Write down how a money call ended; a DONE is never changed. Raises ``JournalError``."""
        await self._entries.closing(entry)

    async def confirmed(self, m_number: str, order: Order) -> None:
        """Write down that an order is paid, and resolve the call that made it. Raises ``JournalError``."""
        await self._entries.confirmed(m_number, order)

    async def unresolved(self, *, in_flight: bool = False, m_number: str | None = None) -> list[JournalEntry]:
        """List the money calls whose results nobody knows, oldest first; also those of processes that have died.

        The list is for people to read and not for programs to act on: each call may have moved money or not.
        ``in_flight`` adds the calls that are under way now; ``m_number`` leaves out those of other merchants.

        Raises:
            JournalError: the database did not answer.
        """
        return await self._entries.unresolved(m_number, in_flight=in_flight)

    async def resolve(
        self, entry_or_id: JournalEntry | str, outcome: JournalOutcome | str, *, order_no: str | None = None
    ) -> None:
        """Write down what a person found out in Omipay's back office about a call that is unresolved.

        ``entry_or_id`` is an entry of ``unresolved()``, or its ``id``. ``outcome`` is ``DONE`` or ``NOT_DONE`` (or
        ``UNKNOWN``, to take a mistake back). With the gateway's ``order_no`` of an order that was made, the next sweep
        asks about it and fulfils it if it is paid. A number that was typed wrong is replaced by the next one, and taken
        back by an outcome that is not ``DONE``.

        Raises:
            InvalidRequest: there is no such entry or outcome; ``order_no`` cannot be an order's number, or is known to
                belong to another sale (to another order, for a refund), or does not go with NOT_DONE; or the gateway
                has already decided it, by its reply or by QueryOrder's answer about the order.
            JournalError: the database did not answer.
        """
        with validation.with_outcome(None):
            await resolve_call(self._database, entry_or_id, outcome, order_no)

    async def prune(self, older_than: float | timedelta) -> int:
        """Forget calls and orders that were closed more than ``older_than`` ago: seconds, or a ``timedelta``.

        What is open is never forgotten: unresolved calls, orders that may still be paid, and paid orders that are not
        fulfilled. A notification that comes after its order was forgotten runs the handler again, so keep at least a
        month. A thousand rows are removed at once, so that charges do not wait for long. Returns how many rows were
        removed.

        Raises:
            InvalidRequest: for a wrong duration.
            JournalError: the database did not answer.
        """
        given = older_than.total_seconds() if isinstance(older_than, timedelta) else older_than
        with validation.with_outcome(None):
            age = timedelta(seconds=validation.seconds("older_than", given))
        return await self._entries.prune(age)

    # -- the backend ------------------------------------------------------------------------------------------------

    async def claim(self, key: str, owner: str) -> Claim:
        """Take ``key`` for ``owner``, for ``lease`` seconds, if nobody holds it and no success is recorded."""
        return await self._claims.claim(key, owner)

    async def renew(self, key: str, owner: str) -> bool:
        """Let the lease last ``lease`` seconds from now. False: ``owner`` does not hold it any more."""
        if self._effects.needs_no_lease(key):
            return True
        return await self._claims.claim(key, owner) is Claim.MINE

    async def finish(self, key: str, owner: str) -> bool:
        """Record a success. False: another owner holds the lease, and nothing was recorded."""
        return await self._claims.finish(key, owner)

    async def release(self, key: str, owner: str) -> None:
        """Free ``key`` for the next delivery, if ``owner`` holds it."""
        await self._claims.release(key, owner)

    async def wake(self, key: str) -> None:
        """Wake the polls of ``key`` in every process that listens."""
        await self._claims.wake(key)

    async def note(self, key: str, text: str) -> None:
        """Remember ``text`` under ``key`` until it is pruned, for a quarter of an hour at least."""
        await self._claims.note(key, text)

    async def noted(self, key: str) -> str | None:
        """The text that is remembered under ``key``, None if there is none."""
        return await self._claims.noted(key)

    def listen(self, on_wake: Callable[[str], object]) -> AbstractAsyncContextManager[None]:
        """While open, ``on_wake(key)`` is called in this loop for each ``wake(key)`` of any process, this one included.

        PostgreSQL sends wake-ups at once; SQLite is read every second. Entering does not fail because the database
        cannot be reached: see ``Listener``.
        """
        return self._listening.listen(on_wake)

    # -- fulfilment -------------------------------------------------------------------------------------------------

    def transactional(self, handler: TransactionalHandler) -> Callable[[Order], Awaitable[None]]:
        """Make a handler for ``receive_notification``, ``fulfil``, ``settle`` and ``sweep`` that runs in a transaction.

        ``async def handler(order, connection)`` runs its statements on SQLAlchemy's ``AsyncConnection`` and does not
        commit: the books commit its statements together with the record of its success. So its effect happens once in
        this database, even after kill -9 at any moment, with lost leases, handlers that block, and two processes at the
        same time. What the handler does elsewhere (mail, HTTP) is not part of that: write an outbox row instead.

        On PostgreSQL it runs again from its beginning if its transaction was rolled back because of another one. It
        uses a connection of the engine's pool, and its claim is renewed over another: handlers that may take longer
        than ``lease`` need a pool with more connections than there are such handlers. On SQLite nobody else can write
        while it runs: keep it short, and make no money calls in it.

        A handler that cannot be called with both arguments is an ``InvalidRequest`` at once.

        Raises (from the handler that is returned):
            BackendError: the database did not answer, or nobody knows whether the transaction was committed: the next
                delivery finds out. Or a process that stands still inside of its handler, and so has lost its claim,
                does not end its transaction within a few seconds: the handler does not run until it has.
            InvalidRequest: it was not called by a session, or it ended the transaction itself. A ``commit()`` in it
                only raises this error.
        """
        with validation.with_outcome(None):
            checked_handler(handler, "order", "connection")

        @functools.wraps(handler, updated=())
        async def run(order: Order) -> None:
            await self._effects.run(order, handler)

        return run

    async def sweep(
        self, omipay: AsyncOmipay, handler: Callable[[Order], Awaitable[object]] | None, *, limit: int = 1000
    ) -> SweepReport:
        """Ask about the orders of ``omipay`` that are due, and fulfil those that are paid.

        An order is due ten seconds after it was made, and then whenever its age has doubled, until it is paid and
        fulfilled, or failed. ``handler`` is as for ``fulfil``. With None, paid orders are only marked, and the next
        sweep with a handler fulfils them. Processes that sweep at the same time share the work. ``limit``, from
        1 to 1,000,000, is the largest number of orders that are asked about.

        It is logged and counted if the question about an order fails, if the answer is about another sale (another
        ``out_order_no``, currency or amount than the books have), or if the handler raises. The order is then asked
        about again within a minute, or when its age has doubled if the gateway has never known it. Cancelling a sweep
        cancels its handlers, and the orders that it had not asked about are due at once; those that the database was
        just handing to it are due within a minute. Closing the session ends it too, but handlers that run have a minute
        to end.

        Raises:
            InvalidRequest: for a handler that cannot be called with the order alone, or a wrong ``limit``.
            JournalError: the books could not be read or written.
            SessionClosed: the session was closed.
        """
        if handler is not None:
            with validation.with_outcome(None):
                checked_handler(handler, "order")
        return await self._sweeping.sweep(omipay, handler, _checked_limit(limit))

    async def run(
        self, omipay: AsyncOmipay, handler: Callable[[Order], Awaitable[object]], *, every: float = 5.0
    ) -> None:
        """Sweep every ``every`` seconds until this is cancelled: a worker in one line.

        If the database does not answer, that is logged, and the next sweep tries again. A handler that hangs is logged
        after a minute, and the other orders do not wait for it any longer: give yours a time limit, such as
        ``asyncio.timeout``.

        Raises:
            InvalidRequest: for a handler that cannot be called with the order alone, or a wrong ``every``.
            ConfigurationError: the books were used in another event loop before.
            SessionClosed: the session was closed.
        """
        with validation.with_outcome(None):
            checked_handler(handler, "order")
            pause = validation.seconds("every", every, above=True)
        await self._sweeping.run(omipay, handler, pause)

    async def waiting(self, *, m_number: str | None = None, limit: int = 1000) -> list[WaitingOrder]:
        """List the orders that sweeps are still to ask about, the next due first; ``limit`` of them at most.

        ``m_number`` leaves out those of other merchants, and a wrong ``limit`` is an ``InvalidRequest``.
        Raises ``JournalError``.
        """
        return await self._due_orders.waiting(m_number, _checked_limit(limit))


def _checked_limit(limit: object) -> int:
    number = plain_value(limit)
    if type(number) is not int or not 0 < number <= LARGEST_LIMIT:
        with validation.with_outcome(None):
            validation.reject("limit", f"must be a number of orders, from 1 to {LARGEST_LIMIT:,}")
    return number
