"""What is known outside of the processes: every call and its result, the gateway's ledger, and the effects."""

from __future__ import annotations

import sqlite3
from collections import Counter
from typing import TYPE_CHECKING, Any, NoReturn

import attrs

if TYPE_CHECKING:
    from omipay_async import Outcome
    from omipay_async.events import Event

    from .process import Process
    from .world import World


class ViolationError(Exception):
    """The library broke a rule."""


@attrs.define
class MoneyCall:
    """One call that moves money, under a number of its own."""

    number: str
    process: Process
    events: int = 0
    outcome: Outcome | None = None
    """The outcome in the ``call`` event, None for success."""
    raised: Outcome | None = None
    """The outcome of the error."""


class Record:
    """The record of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.violations: list[str] = []
        self.calls: dict[str, MoneyCall] = {}
        self.written: dict[str, str | None] = {}
        """The order numbers that the books reported as written down, and the merchant's own numbers of their sales."""
        self.processes: list[Process] = []
        self.counts: Counter[str] = Counter()
        self._numbers = 0
        self._reading: sqlite3.Connection | None = None

    def violated(self, what: str) -> NoReturn:
        """Note that a rule was broken, and raise that. It is noted because the error may be caught on its way."""
        self.violations.append(what)
        self._world.trace("world", what)
        raise ViolationError(what)

    def number(self, kind: str) -> str:
        """A new number of the merchant's."""
        self._numbers += 1
        return f"{kind}-{self._numbers:04}"

    def begun(self, number: str, process: Process) -> MoneyCall:
        """Note that a money call is about to be made."""
        call = self.calls[number] = MoneyCall(number, process)
        self.counts["money calls"] += 1
        return call

    def on_event(self, process: Process, event: Event) -> None:
        """Note the events of a session's calls."""
        number = event.out_refund_no or event.out_order_no
        call = self.calls.get(number) if number is not None else None
        if not process.alive or event.name != "call" or call is None or event.endpoint == "QueryOrder":
            return
        call.events += 1
        call.outcome = event.outcome
        self._world.trace(process.name, f"{event.endpoint} {number} ended: {event.error}, {event.outcome}")

    # -- the database, seen from outside ----------------------------------------------------------------------------

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows that are committed."""
        if self._reading is None:
            self._reading = sqlite3.connect(self._world.path, timeout=0)
        return self._reading.execute(statement, values).fetchall()

    def effects(self, order_no: str) -> int:
        """How often a payment took effect."""
        count: int = self.rows("SELECT count(*) FROM effect WHERE order_no = ?", order_no)[0][0]
        return count

    def close(self) -> None:
        """Close the connection that reads."""
        if self._reading is not None:
            self._reading.close()

    def facts(self, crashes: int) -> dict[str, int]:
        """How much happened."""
        return {**self.counts, "crashes": crashes}
