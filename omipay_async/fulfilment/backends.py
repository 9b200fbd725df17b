"""The contract of a backend, which records the orders that are being fulfilled or are done.

A key is ``"{m_number}:{order_no}"`` (see :func:`claim_key`), an owner is one run of a handler. As an owner sees it, a
key is in one of four states. In each state, every request has one answer and leads to one state. ``TRANSITIONS`` is
that table: the backend in memory reads it, and every backend is tested against it. Two more transitions come with time:
a lease that is not renewed ends (``HELD`` to ``FREE``), and a recorded success is forgotten after ``keep`` (``DONE`` to
``FREE``).
"""

from __future__ import annotations

import enum
import unicodedata
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager

DEFAULT_LEASE_S: Final = 30.0
DEFAULT_KEEP: Final = timedelta(days=30)
"""How long a recorded success is remembered."""


class Claim(enum.Enum):
    """The answer to a claim."""

    MINE = "MINE"
    """The caller has the lease: it may run the handler."""
    BUSY = "BUSY"
    """Another owner's lease holds."""
    DONE = "DONE"
    """A success was recorded: the handler must not run again."""


class ClaimState(enum.Enum):
    """The state of a key, as the owner that makes a request sees it."""

    FREE = enum.auto()
    """No lease holds, and no success is recorded."""
    HELD = enum.auto()
    """The caller's own lease holds."""
    OTHERS = enum.auto()
    """Another owner's lease holds."""
    DONE = enum.auto()
    """A success is recorded."""


class Step(enum.StrEnum):
    """A request that an owner makes for a key: the names of the methods of a backend."""

    CLAIM = enum.auto()
    RENEW = enum.auto()
    FINISH = enum.auto()
    RELEASE = enum.auto()


TRANSITIONS: Final[Mapping[tuple[ClaimState, Step], tuple[ClaimState, Claim | bool | None]]] = MappingProxyType(
    {
        (ClaimState.FREE, Step.CLAIM): (ClaimState.HELD, Claim.MINE),
        # Nobody else has claimed the key: the owner's lease ended, or the backend forgot it. The owner may go on.
        (ClaimState.FREE, Step.RENEW): (ClaimState.HELD, True),
        (ClaimState.FREE, Step.FINISH): (ClaimState.DONE, True),
        (ClaimState.FREE, Step.RELEASE): (ClaimState.FREE, None),
        # The claim is repeated, because its first answer was lost.
        (ClaimState.HELD, Step.CLAIM): (ClaimState.HELD, Claim.MINE),
        (ClaimState.HELD, Step.RENEW): (ClaimState.HELD, True),
        (ClaimState.HELD, Step.FINISH): (ClaimState.DONE, True),
        (ClaimState.HELD, Step.RELEASE): (ClaimState.FREE, None),
        (ClaimState.OTHERS, Step.CLAIM): (ClaimState.OTHERS, Claim.BUSY),
        (ClaimState.OTHERS, Step.RENEW): (ClaimState.OTHERS, False),
        (ClaimState.OTHERS, Step.FINISH): (ClaimState.OTHERS, False),
        (ClaimState.OTHERS, Step.RELEASE): (ClaimState.OTHERS, None),
        (ClaimState.DONE, Step.CLAIM): (ClaimState.DONE, Claim.DONE),
        (ClaimState.DONE, Step.RENEW): (ClaimState.DONE, False),
        (ClaimState.DONE, Step.FINISH): (ClaimState.DONE, True),
        (ClaimState.DONE, Step.RELEASE): (ClaimState.DONE, None),
    }
)
"""(state, request) to (state after it, answer)."""


@runtime_checkable
class Backend(Protocol):
    """Where claims on orders are kept. Sessions that must not run a handler for one order at the same time share it.

    Each method is atomic, answers as ``TRANSITIONS`` says, may be called again when its answer was lost, and raises
    :class:`BackendError` for every failure of the backend. Keys contain the ``m_number``, so merchants may share one.

    A claim holds for 30 seconds without being renewed. A backend whose claims hold for another time says so by an
    attribute ``lease``, in seconds. A method that takes longer than a third of this time has failed, and a ``renew``
    that takes longer than a sixth.
    """

    async def claim(self, key: str, owner: str) -> Claim:
        """Take ``key`` for ``owner``, for the time of a lease, if nobody holds it and no success is recorded."""
        ...

    async def renew(self, key: str, owner: str) -> bool:
        """Let the lease start again. False: ``owner`` does not hold it any more."""
        ...

    async def finish(self, key: str, owner: str) -> bool:
        """Record a success. False: another owner holds the lease, and nothing was recorded."""
        ...

    async def release(self, key: str, owner: str) -> None:
        """Free ``key`` for the next delivery, if ``owner`` holds it."""
        ...

    async def wake(self, key: str) -> None:
        """Tell the polls of ``key`` in every session and process that the order was confirmed."""
        ...


@runtime_checkable
class Listener(Protocol):
    """The method that a backend also has if several sessions or processes share it."""

    def listen(self, on_wake: Callable[[str], object]) -> AbstractAsyncContextManager[None]:
        """While open, ``on_wake(key)`` is called in this loop for each ``wake(key)`` of any process, this one included.

        Entering does not fail because the backend cannot be reached: connecting is repeated with growing pauses, and
        what is woken during a pause is missed. Polls that are not woken go on by interval.
        """
        ...


@runtime_checkable
class NoteKeeper(Protocol):
    """The methods that a backend or a journal may also have, to remember which orders were confirmed as paid.

    A session writes one note for each confirmed order that has an ``out_order_no``, and then calls ``wake(key)`` with
    the note's key. So ``wait_for_notification`` in another process finds the note without asking the gateway. The key
    is ``"{m_number}:out_order_no:{out_order_no}"``, the text is the confirmed order as JSON (its ``order_no`` and the
    gateway's reply). Notes and claims are kept apart: one key may have both.

    If neither the backend nor the journal has these two methods, ``wait_for_notification`` only finds what was
    confirmed in its own session.
    """

    async def note(self, key: str, text: str) -> None:
        """Remember ``text`` under ``key`` for ten minutes at least, and replace what was remembered before.

        It may be called again when its answer was lost. Raises :class:`BackendError` for every failure of the backend.
        """
        ...

    async def noted(self, key: str) -> str | None:
        """The text that is remembered under ``key``, None if there is none. Raises :class:`BackendError`."""
        ...


NOTES_KEPT_S: Final = 900.0
"""For how many seconds the backends of this package remember a note: ten minutes, and five more for slow clocks."""


def claim_key(m_number: str, order_no: str) -> str:
    """The key of an order's claim. It is the same however the number is spelt."""
    return f"{m_number}:{one_spelling(order_no)}"


def one_spelling(order_no: str) -> str:
    """An order's number without regard to case, to spaces around it and to the width of its letters.

    A gateway may find an order by each of these spellings, and QueryOrder's reply does not have the number.
    """
    return unicodedata.normalize("NFKC", order_no).strip().upper()


def lease_of(backend: Backend) -> float:
    """How many seconds a claim holds; 30 seconds if the backend does not have this attribute."""
    lease: float | None = getattr(backend, "lease", None)
    return DEFAULT_LEASE_S if lease is None else lease


def answer_limit_s(backend: Backend) -> float:
    """How many seconds a method of ``backend`` may take, except ``renew``: a third of a lease."""
    return lease_of(backend) / 3
