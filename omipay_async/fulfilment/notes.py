"""Notes about confirmed orders, in which a wait for an ``out_order_no`` finds what another process has confirmed.

A note contains the order as QueryOrder reported it, so that whoever reads it need not ask the gateway.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from omipay_async.answers import ask
from omipay_async.log import logger
from omipay_async.models import Order
from omipay_async.protocol.endpoints import QUERY_ORDER
from omipay_async.protocol.jsontext import json_object, json_text
from omipay_async.text import bare

from .backends import NoteKeeper, answer_limit_s

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from omipay_async.clock import Clock
    from omipay_async.journal import Journal
    from omipay_async.protocol.conversion import ModelConverter

    from .backends import Backend

NOTE_KIND: Final = "out_order_no:"
"""Stands after the merchant's number in the keys of notes and of their wake-ups, but not in those of polls."""


def note_key(m_number: str, out_order_no: str) -> str:
    """The key of a note, and of the wake-up that announces it."""
    return f"{m_number}:{NOTE_KIND}{bare(out_order_no)}"


class Notes:
    """The notes of one merchant that a backend or a journal keeps.

    Args:
        keeper: The backend or the journal.
        who: What it is called in errors.
        limit_s: How many seconds it may take to answer.
        converter: Reads the orders in notes.
    """

    def __init__(
        self,
        keeper: NoteKeeper,
        *,
        who: str,
        clock: Clock,
        m_number: str,
        limit_s: float,
        converter: Callable[[], ModelConverter],
    ) -> None:
        self._keeper = keeper
        self.who = who
        self._clock = clock
        self._m_number = m_number
        self._limit_s = limit_s
        self._converter = converter

    async def write(self, order: Order, out_order_no: str) -> None:
        """Write the note about a confirmed order.

        Raises:
            OmipayError: the keeper failed, or did not answer in time.
            ValueError: the order's number cannot be written as JSON.
        """
        text = json_text({"order_no": order.order_no, "raw": _writable(order.raw)})
        note = functools.partial(self._keeper.note, note_key(self._m_number, out_order_no), text)
        await ask(self._clock, note, self._limit_s, who=self.who)

    async def find(self, out_order_no: str, left: float) -> Order | None:
        """The confirmed order with this ``out_order_no``; None if there is no note of it, or none that can be read.

        Raises:
            OmipayError: the keeper failed, or did not answer in time or within the ``left`` seconds.
        """
        noted = functools.partial(self._keeper.noted, note_key(self._m_number, out_order_no))
        text = await ask(self._clock, noted, min(left, self._limit_s), who=self.who)
        return None if text is None else self._order_in(text, out_order_no)

    def _order_in(self, note: str, out_order_no: str) -> Order | None:
        try:
            fields = json_object(note.encode())
            known = {"order_no": fields["order_no"]}
            order = self._converter().structure(Order, fields["raw"], QUERY_ORDER.essential, known)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            text = "a note of a paid order in %s is ignored, because it cannot be read: %s"
            logger.warning(text, self.who, type(error).__name__)
            return None
        same = order.out_order_no is not None and bare(order.out_order_no) == bare(out_order_no)
        return order if order.is_paid and same else None


def notes_of(
    backend: Backend, journal: Journal | None, *, clock: Clock, m_number: str, converter: Callable[[], ModelConverter]
) -> list[Notes]:
    """The notes that a session's backend and journal keep, each if it is a ``NoteKeeper``."""
    new = functools.partial(Notes, clock=clock, m_number=m_number, limit_s=answer_limit_s(backend), converter=converter)
    found = [new(backend, who="the backend")] if isinstance(backend, NoteKeeper) else []
    if isinstance(journal, NoteKeeper) and journal is not backend:
        found.append(new(journal, who="the journal"))
    return found


def _writable(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a reply that can be written as JSON. The others, such as 1e999999999999999999, are of no use."""
    return {name: value for name, value in raw.items() if _can_be_written(value)}


def _can_be_written(value: object) -> bool:
    try:
        json_text(value)
    except ValueError:
        return False
    return True
