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

from .dialect import or_update
from .tables import ORDER, is_order, split_key

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from .database import Database

WAKE_CHANNEL: Final = "omipay_wake"


class Claims:
    """The methods of a backend, except listening: claims, records, notes and wake-ups."""

    def __init__(self, database: Database, lease: float) -> None:
        self._database = database
        self._dialect = database.dialect
        self.lease: Final = timedelta(seconds=lease)

    async def claim(self, key: str, owner: str) -> Claim:
        """Take ``key`` for ``owner`` if nobody holds it and no success is recorded."""
        values = {"owner": owner, "lease_until": self._dialect.now(self.lease)}
        return await self._set_if_free(key, owner, values)

    async def finish(self, key: str, owner: str) -> bool:
        """Record a success, unless another owner holds the lease."""
        return await self._set_if_free(key, owner, self.success()) is not Claim.BUSY

    def recording(self, row: tuple[str, str]) -> Any:
        """The statement that records a success, whoever holds the row."""
        return self._upsert(row, self.success())

    def success(self) -> dict[str, Any]:
        """The columns that a recorded success sets."""
        now = self._dialect.now()
        return {"done_at": now, "closed_at": now, "due_at": null(), "owner": null(), "lease_until": null()}

    async def _set_if_free(self, key: str, owner: str, values: dict[str, Any]) -> Claim:
        """Set the row if it is free or ``owner``'s. MINE: it was set. If not, its state is DONE or BUSY."""
        row = split_key(key)
        free = or_(ORDER.c.owner.is_(None), ORDER.c.owner == owner, ORDER.c.lease_until <= self._dialect.now())
        statement = self._upsert(row, values, where=and_(ORDER.c.done_at.is_(None), free)).returning(ORDER.c.key)
        query = select(ORDER.c.done_at).where(is_order(*row))

        async def work(connection: AsyncConnection) -> Claim:
            if (await connection.execute(statement)).first() is not None:
                return Claim.MINE
            return Claim.BUSY if (await connection.execute(query)).scalar() is None else Claim.DONE

        return await self._database.write(work, BackendError)

    async def release(self, key: str, owner: str) -> None:
        """Free ``key`` if ``owner`` holds it."""
        mine = and_(is_order(*split_key(key)), ORDER.c.owner == owner)
        await self._execute(update(ORDER).where(mine).values(owner=null(), lease_until=null()))

    # -- notes and wake-ups -----------------------------------------------------------------------------------------

    async def note(self, key: str, text: str) -> None:
        """Remember ``text`` under ``key`` until it is pruned."""
        await self._execute(self._upsert(split_key(key), {"note": text, "closed_at": self._dialect.now()}))

    async def noted(self, key: str) -> str | None:
        """The text that is remembered under ``key``."""
        text: str | None = await self._database.scalar(
            select(ORDER.c.note).where(is_order(*split_key(key))), BackendError
        )
        return text

    async def wake(self, key: str) -> None:
        """Wake every process that listens. SQLite cannot send messages: listeners look for the row every second."""
        if self._dialect.is_sqlite:
            await self._execute(self._upsert(split_key(key), {"woken": self._next_place(), "wake_key": key}))
        else:
            await self._execute(select(func.pg_notify(WAKE_CHANNEL, key)))

    def _upsert(self, row: tuple[str, str], values: dict[str, Any], *, where: Any = None) -> Any:
        m_number, key = row
        insert = self._dialect.insert(ORDER).values(m_number=m_number, key=key, made_at=self._dialect.now(), **values)
        return or_update(insert, values, where=where)

    async def _execute(self, statement: Any) -> None:
        await self._database.execute(statement, BackendError)

    def _next_place(self) -> Any:
        """A number larger than those of all earlier wake-ups, whatever the clock shows: SQLite has only one writer."""
        last = select(func.coalesce(func.max(ORDER.c.woken), 0)).scalar_subquery()
        micros = int(self._dialect.machine_time().timestamp() * 1_000_000)
        return func.max(last + 1, literal(micros, BigInteger()))
