"""One attempt to send a request to a node: where it goes, what it sends, and how far it has got. No I/O."""

from __future__ import annotations

import contextvars
import enum
from typing import TYPE_CHECKING, Any, Final

import attrs

from omipay_async.clock import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from omipay_async.clock import Clock
    from omipay_async.protocol.endpoints import Endpoint

    from .cancellation import CancelScope
    from .connection import Connection


ATTEMPT: Final = "omipay_attempt"
"""The key of a request's :class:`Attempt` in its ``extensions``."""

_FRESH_S: Final = 1.0
"""A signature that is older than this is not sent. Connecting may take longer."""


@attrs.frozen(eq=False, repr=False)
class Node:
    """One address of the gateway."""

    name: str
    """``AU``, ``CN`` or a host: its name in events and errors."""
    base_url: str
    """Up to and including ``/omipay/api``."""


class Progress(enum.Enum):
    """How far a request has got. Only the methods of its :class:`Attempt` set this; what sends it calls them.

    Over our own connections that is ``network``; over httpcore, which reports its steps, ``httpcore_reports``; and over
    any other transport ``sending``, once it has answered. ``repeats``, ``session_client`` and ``aiohttp_connections``
    note what they see in between.
    """

    NOT_SENT = enum.auto()
    """No transport of httpx's kind has it yet."""
    HANDED_OVER = enum.auto()
    """A transport of httpx's kind has it, and may have sent it without a report of that."""
    PASSED_ON = enum.auto()
    """A transport below the one that the user gave has this money call, and may have sent it."""
    CONNECTING = enum.auto()
    """A transport has reported that it connects: nothing was sent."""
    SENT = enum.auto()
    """Writing it has begun, so the gateway may have received it."""


class Step(enum.StrEnum):
    """What connecting is about to do: for the error, in words, if its time is over."""

    NAME = "the gateway's name was not looked up"
    ADDRESS = "nothing answers at the gateway's address"
    TLS = "the gateway's address accepts connections, but no TLS"


@attrs.define(eq=False, repr=False)
class Attempt:
    """One request under way: what it sends, how long it may take, how far it has got."""

    endpoint: Endpoint[Any]
    node: Node
    new_signed_query: Callable[[], str] = attrs.field(repr=False)
    """Called at the moment when the request is sent, and again if connecting took long."""
    secrets: Iterable[str] = attrs.field(repr=False)
    scope: CancelScope
    clock: Clock
    until: float
    """When the reply must have arrived, by the clock's ``monotonic``."""
    connect_s: float
    """How many seconds connecting may take, TLS included."""
    send_by: Deadline | None = None
    """A money call is not sent after this moment. A read has none."""
    progress: Progress = Progress.NOT_SENT
    step: Step | None = None
    """What a connection of our own has come to."""
    is_through_proxy: bool = False
    """Whether it goes through a proxy, which may be the reason of its failure."""
    connection: Connection | None = None
    """The connection of our own that the request goes over."""
    stream: Any = None
    """Over httpcore, the network stream of a connection that was opened for this attempt. If that is cancelled in a TLS
    handshake, httpcore itself leaves the connection to Python's garbage collection."""
    signed_query: str = attrs.field(default="", init=False, repr=False)
    """The parameters with their signature."""
    _fresh_until: Deadline | None = attrs.field(default=None, init=False)
    _has_ended: bool = attrs.field(default=False, init=False)

    @property
    def moves_money(self) -> bool:
        """Whether it is a money call, which needs a connection of its own and must not be sent twice."""
        return self.send_by is not None

    @property
    def may_have_arrived(self) -> bool:
        """Whether the gateway may have received the request by now."""
        return self.progress not in (Progress.NOT_SENT, Progress.CONNECTING)

    @property
    def is_too_late(self) -> bool:
        """Whether it is a money call whose time to be sent is over."""
        return self.send_by is not None and self.send_by.is_over(self.clock)

    def sign(self) -> None:
        """Sign, unless that was done less than a second ago."""
        if self._fresh_until is None or self._fresh_until.is_over(self.clock):
            self.signed_query = self.new_signed_query()
            self._fresh_until = Deadline.after(self.clock, _FRESH_S)

    def target(self, path: bytes) -> bytes:
        """The target of the request: ``path`` and the signed parameters."""
        return b"%b?%b" % (path, self.signed_query.encode("ascii"))

    def hand_over(self) -> None:
        """Note that a transport of httpx's kind gets it, which may send it without a report of that."""
        self.progress = Progress.HANDED_OVER

    def begin_connecting(self) -> None:
        """Note that connecting begins, which has a time limit of its own. Nothing of the request is sent meanwhile.

        Raises:
            SentAlreadyError: it is a money call that was sent before.
            TooLateError: the attempt has ended.
        """
        self._ensure_sendable()
        if self.progress is Progress.SENT:
            return
        self.progress = Progress.CONNECTING
        self.scope.expire_in(self.connect_s)

    def begin_sending(self, *, is_passed_on: bool = False) -> None:
        """Note that the request is about to be written, by the transport that it was passed on to or by another one.

        Raises:
            SentAlreadyError: it is a money call that was sent before, or that another transport may be sending.
            TooLateError: it is a money call, and its time to be sent is over; or the attempt has ended.
        """
        self._ensure_sendable(is_passed_on=is_passed_on)
        if self.progress is Progress.CONNECTING:
            self.scope.expire_in(self.until - self.clock.monotonic())
        if self.is_too_late:  # as late as possible: the process may be stopped at any moment
            raise TooLateError
        self.progress = Progress.SENT

    def pass_on(self) -> None:
        """Note that a transport below the one that the user gave is about to send this money call.

        Raises:
            SentAlreadyError: it was passed on before.
            TooLateError: its time to be sent is over, or the attempt has ended.
        """
        if self.progress is Progress.PASSED_ON:
            self.progress = Progress.SENT  # the first may have sent it, whatever comes of the refusal of this one
        self._ensure_sendable()
        if self.is_too_late:
            raise TooLateError
        self.progress = Progress.PASSED_ON

    def note_sent(self) -> None:
        """Note that it was sent: a reply has come, or a failure does not prove that it was not."""
        self.progress = Progress.SENT

    def end(self) -> None:
        """Note that the attempt has ended. Whatever still works on it, although it was cancelled, must not send it.

        The request may be on its way again, or its caller may have been told that it was never sent.
        """
        self._has_ended = True

    def _ensure_sendable(self, *, is_passed_on: bool = False) -> None:
        is_sent = self.progress is Progress.SENT or (self.progress is Progress.PASSED_ON and not is_passed_on)
        if self.moves_money and is_sent:
            raise SentAlreadyError("a transport tried to send it once more")
        if self._has_ended:
            raise TooLateError


our_attempt: contextvars.ContextVar[Attempt | None] = contextvars.ContextVar("omipay_async_attempt", default=None)
"""The attempt that a transport of httpx's kind is sending in this context."""


class SentAlreadyError(Exception):
    """A money call must not be sent twice: something between us and the wire repeats requests by itself."""


class TooLateError(Exception):
    """A request must not be sent any more: signing or connecting took too long, or the attempt has ended without it."""
