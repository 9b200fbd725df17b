"""One try on its way to a node: where it goes, how far it has got, what comes back or what its end proves. No I/O."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Final

import attrs

from .errors import NotSent, OmipayError, SessionClosed, TransportError
from .retries import Failure
from .scopes import Scope, Why

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .signing import Clock

_NODE_REST_S: Final = 30.0
"""A node that could not be reached is asked last for this long, then first again."""


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


LARGEST_REPLY: Final = 1024 * 1024
"""In bytes; real replies have some hundred."""


@attrs.frozen
class Received:
    """What came back over the wire, before anything was made of it."""

    status: int
    body: bytes = attrs.field(repr=False)
    date: str | None = None
    """The ``Date`` header, from which the clock's offset is learnt."""
    complete: bool = True
    """False where the body was cut off at LARGEST_REPLY."""
    encoding: str | None = None
    """``Content-Encoding``, although none was accepted."""
    node: str | None = None


class Progress(enum.Enum):
    """How far a request has got."""

    HERE = "not sent"
    HANDED_OVER = "handed to the transport"
    CONNECTING = "connecting"
    SENT = "sent"


@attrs.define
class Trip:
    """One request on its way: what it asks, how long it may take, how far it got."""

    endpoint: str
    method: str
    node: Node
    path: str
    signed_query: Callable[[], str]
    """Called once, when the request leaves."""
    secrets: Iterable[str] = attrs.field(repr=False)
    scope: Scope
    monotonic: Callable[[], float]
    until: float
    """When the reply must be here, by ``monotonic``."""
    connect_s: float
    """How many seconds connecting may take, TLS included."""
    send_by: float | None = None
    """A money call is not sent after this time."""
    progress: Progress = Progress.HERE
    connection: Any = None
    """The network stream of a connection that was opened for this trip."""

    @property
    def may_have_arrived(self) -> bool:
        """Whether the gateway may have received the request by now."""
        return self.progress in (Progress.HANDED_OVER, Progress.SENT)

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Follow httpcore's trace events. An exception from here ends the request before it is sent."""
        if self.progress is Progress.SENT:
            return
        if event.endswith(".send_request_headers.started"):
            # A proxy's CONNECT is a request too, but not ours.
            if self.progress is Progress.CONNECTING and info["request"].method != b"CONNECT":
                now = self.monotonic()
                if self.send_by is not None and now > self.send_by:
                    raise TooLateError
                self.scope.expire_in(self.until - now)
            if info["request"].method != b"CONNECT":
                self.progress = Progress.SENT
        elif event == "connection.connect_tcp.started":
            self.progress = Progress.CONNECTING
            self.scope.expire_in(self.connect_s)
        elif event == "connection.connect_tcp.complete":
            self.connection = info["return_value"]


class TooLateError(Exception):
    """Connecting took so long that a money call must not be sent any more."""


class Nodes:
    """The nodes in the order to ask them: one that could not be reached rests, behind the other."""

    def __init__(self, nodes: list[Node], clock: Clock) -> None:
        self._nodes = nodes
        self._clock = clock
        self._rest_until = dict.fromkeys(nodes, float("-inf"))

    @property
    def primary(self) -> Node:
        """The node that is asked while it can be reached."""
        return self._nodes[0]

    def in_order(self) -> list[Node]:
        """First those that are not resting."""
        if len(self._nodes) == 1:
            return self._nodes
        now = self._clock.monotonic()
        return sorted(self._nodes, key=lambda node: self._rest_until[node] > now)

    def failed(self, node: Node) -> None:
        """``node`` could not be reached."""
        self._rest_until[node] = self._clock.monotonic() + _NODE_REST_S


def too_late(endpoint: str) -> Failed:
    """A money call that was not sent because too little of its time was left."""
    message = f"{endpoint}: not sent, less than half of its time was left"
    return Failed(Failure.NO_SLOT, NotSent(message, endpoint=endpoint))


def session_closed() -> Failed:
    """A try that the session's end cut short: it was a read, or was not sent yet."""
    return Failed(Failure.CLOSED, SessionClosed())


def cut_short(trip: Trip, why: Why) -> Failed:
    if why is Why.CLOSED:
        return session_closed()
    if trip.may_have_arrived:
        message = f"{trip.endpoint}: no answer in time"
        return Failed(Failure.NO_ANSWER, TransportError(message, endpoint=trip.endpoint))
    message = f"{trip.endpoint}: no connection in time"
    return Failed(Failure.NEVER_SENT, NotSent(message, endpoint=trip.endpoint))
