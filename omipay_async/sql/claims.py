"""The once-guard's requests, answered as ``backends.TRANSITIONS`` says, each by a statement on one row of ``ORDER``.

FREE is a row without an owner or whose lease has ended, or no row at all. DONE is a row with ``done_at``. Leases are by
the database's clock. The notes and wake-ups of a backend are here too.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import BigInteger, and_, func, literal, null, or_, select, update

from omipay_async.errors import BackendError
from omipay_async.fulfilment.backends import Claim

from .tables import ORDER, split_key

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from .database import Database

WAKE_CHANNEL: Final = "omipay_wake"


class Claims:
    """The methods of a backend, except listening: claims, records, notes and wake-ups."""

    def __init__(self, database: Database, lease: float) -> None:
        self._database = database
        self._dialect = database.dialect
        self._lease = timedelta(seconds=lease)

    async def claim(self, key: str, owner: str) -> Claim:
        """Take ``key`` for ``owner`` if nobody holds it and no success is recorded."""
        values = {"owner": owner, "lease_until": self._dialect.now(self._lease)}
        taken, done = await self._set_if_free(key, owner, values)
        return Claim.MINE if taken else Claim.DONE if done else Claim.BUSY

    async def finish(self, key: str, owner: str) -> bool:
        """Record a success, unless another owner holds the lease."""
        taken, done = await self._set_if_free(key, owner, self.done())
        return taken or done

    def recorded(self, row: tuple[str, str]) -> Any:
        """The statement that records a success, whoever holds the row."""
        m_number, row_key = row
        insert = self._dialect.insert(ORDER).values(
            m_number=m_number, key=row_key, made_at=self._dialect.now(), **self.done()
        )
        return insert.on_conflict_do_update(index_elements=[ORDER.c.m_number, ORDER.c.key], set_=self.done())

    def done(self) -> dict[str, Any]:
        """The columns that a recorded success sets."""
        now = self._dialect.now()
        return {"done_at": now, "closed_at": now, "due_at": null(), "owner": null(), "lease_until": null()}

    async def _set_if_free(self, key: str, owner: str, values: dict[str, Any]) -> tuple[bool, bool]:
        """Set the row if it is free or ``owner``'s. Returns whether it was set, and if not, whether it is DONE."""
        m_number, row_key = split_key(key)
        now = self._dialect.now()
        free = or_(ORDER.c.owner.is_(None), ORDER.c.owner == owner, ORDER.c.lease_until <= now)
        statement = (
            self._dialect.insert(ORDER)
            .values(m_number=m_number, key=row_key, made_at=now, **values)
            .on_conflict_do_update(
                index_elements=[ORDER.c.m_number, ORDER.c.key], set_=values, where=and_(ORDER.c.done_at.is_(None), free)
            )
            .returning(ORDER.c.key)
        )
        query = select(ORDER.c.done_at).where(ORDER.c.m_number == m_number, ORDER.c.key == row_key)

        async def work(connection: AsyncConnection) -> tuple[bool, bool]:
            if (await connection.execute(statement)).first() is not None:
                return True, False
            return False, (await connection.execute(query)).scalar() is not None

        return await self._database.write(work, BackendError)

    async def release(self, key: str, owner: str) -> None:
        """Free ``key`` if ``owner`` holds it."""
        m_number, row_key = split_key(key)
        mine = and_(ORDER.c.m_number == m_number, ORDER.c.key == row_key, ORDER.c.owner == owner)
        await self._execute(update(ORDER).where(mine).values(owner=null(), lease_until=null()))

    # -- notes and wake-ups -----------------------------------------------------------------------------------------

    async def note(self, key: str, text: str) -> None:
        """Remember ``text`` under ``key`` until it is pruned."""
        now = self._dialect.now()
        await self._execute(self._upsert(key, {"note": text, "closed_at": now}))

    async def noted(self, key: str) -> str | None:
        """The text that is remembered under ``key``."""
        m_number, row_key = split_key(key)
        query = select(ORDER.c.note).where(ORDER.c.m_number == m_number, ORDER.c.key == row_key)

        async def work(connection: AsyncConnection) -> str | None:
            text: str | None = (await connection.execute(query)).scalar()
            return text

        return await self._database.read(work, BackendError)

    async def wake(self, key: str) -> None:
        """Wake every process that listens. SQLite cannot send messages: listeners look for the row every second."""
        if self._dialect.is_sqlite:
            await self._execute(self._upsert(key, {"woken": self._next_place(), "wake_key": key}))
        else:
            await self._execute(select(func.pg_notify(WAKE_CHANNEL, key)))

    def _upsert(self, key: str, values: dict[str, Any]) -> Any:
        m_number, row_key = split_key(key)
        insert = self._dialect.insert(ORDER).values(
            m_number=m_number, key=row_key, made_at=self._dialect.now(), **values
        )
        return insert.on_conflict_do_update(index_elements=[ORDER.c.m_number, ORDER.c.key], set_=values)

    async def _execute(self, statement: Any) -> None:
        async def work(connection: AsyncConnection) -> None:
            await connection.execute(statement)

        await self._database.write(work, BackendError)

    def _next_place(self) -> Any:
        """A number larger than those of all earlier wake-ups, whatever the clock shows: SQLite has only one writer."""
        last = select(func.coalesce(func.max(ORDER.c.woken), 0)).scalar_subquery()
        micros = int(self._dialect.machine_time().timestamp() * 1_000_000)
        return func.max(last + 1, literal(micros, BigInteger()))
