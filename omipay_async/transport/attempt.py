"""One try on its way to a node: where it goes, how far it has got, what comes back or what its end proves. No I/O."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Final

import attrs

from omipay_async.errors import NotSent, OmipayError, SessionClosed, TransportError

from .cancellation import CancelReason, CancelScope
from .failures import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from omipay_async.clock import Clock, Deadline

    from .connection import Connection


ATTEMPT: Final = "omipay_attempt"
"""The key of a request's :class:`Attempt` in its ``extensions``, on our own connections."""


@attrs.frozen
class Node:
    """One address of the gateway."""

    name: str
    """``AU``, ``CN`` or a host: what events and errors call it."""
    base_url: str
    """Up to and including ``/omipay/api``."""


@attrs.frozen
class Failed:
    """What became of a try that brought no reply, and the error to raise if it is the last one."""

    failure: Failure
    error: OmipayError


class Progress(enum.Enum):
    """How far a request has got."""

    NOT_SENT = enum.auto()
    HANDED_OVER = enum.auto()
    CONNECTING = enum.auto()
    SENT = enum.auto()


@attrs.define(eq=False)
class Attempt:
    """One request on its way: what it asks, how long it may take, how far it got."""

    endpoint: str
    method: str
    node: Node
    path: str
    signed_query: Callable[[], str] = attrs.field(repr=False)
    """Called once, when the request leaves."""
    secrets: Iterable[str] = attrs.field(repr=False)
    scope: CancelScope
    clock: Clock
    until: float
    """When the reply must be here, by the clock's ``monotonic``."""
    connect_s: float
    """How many seconds connecting may take, TLS included."""
    send_by: Deadline | None = None
    """A money call is not sent after this moment. A read has none."""
    progress: Progress = Progress.NOT_SENT
    connection: Connection | None = None
    """The connection of our own that the request goes over."""
    stream: Any = None
    """On httpcore's path, the network stream of a connection that was opened for this attempt."""

    @property
    def travels_alone(self) -> bool:
        """Whether it needs a connection of its own, as money calls do."""
        return self.send_by is not None

    @property
    def may_have_arrived(self) -> bool:
        """Whether the gateway may have received the request by now."""
        return self.progress in (Progress.HANDED_OVER, Progress.SENT)

    @property
    def is_too_late(self) -> bool:
        """Whether it is a money call whose time to be sent is over."""
        return self.send_by is not None and self.send_by.is_over(self.clock)

    def begin_connecting(self) -> None:
        """Nothing is sent as long as this lasts; it has a time limit of its own."""
        self.progress = Progress.CONNECTING
        self.scope.expire_in(self.connect_s)

    def begin_sending(self) -> None:
        """The next that happens is that the request is written.

        Raises:
            TooLateError: it must not be.
        """
        if self.is_too_late:
            raise TooLateError
        if self.progress is Progress.CONNECTING:
            self.scope.expire_in(self.until - self.clock.monotonic())
        self.progress = Progress.SENT

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Follow httpcore's trace events, on its path. An exception from here ends the request before it is sent."""
        if self.progress is Progress.SENT:
            return
        if event.endswith(".send_request_headers.started"):
            # A proxy's CONNECT is a request too, but not ours.
            if info["request"].method != b"CONNECT":
                self.begin_sending()
        elif event == "connection.connect_tcp.started":
            self.begin_connecting()
        elif event == "connection.connect_tcp.complete":
            self.stream = info["return_value"]


class TooLateError(Exception):
    """Signing or connecting took so long that a money call must not be sent any more."""


def too_late(endpoint: str) -> Failed:
    """A money call that was not sent because too little of its time was left."""
    message = f"{endpoint}: not sent, less than half of its time was left"
    return Failed(Failure.NO_SLOT, NotSent(message, endpoint=endpoint))


def session_closed() -> Failed:
    """A try that the session's end cut short: it was a read, or was not sent yet."""
    return Failed(Failure.CLOSED, SessionClosed())


def cut_short(attempt: Attempt, why: CancelReason) -> Failed:
    if why is CancelReason.CLOSED:
        return session_closed()
    if attempt.may_have_arrived:
        message = f"{attempt.endpoint}: no answer in time"
        return Failed(Failure.NO_ANSWER, TransportError(message, endpoint=attempt.endpoint))
    message = f"{attempt.endpoint}: no connection in time"
    return Failed(Failure.NEVER_SENT, NotSent(message, endpoint=attempt.endpoint))
