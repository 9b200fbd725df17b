"""A call from its first try to its verdict: deadline, slots, repeats, nodes, the clock's offset. No I/O of its own.

Before each try the question is: if this fails here, what does the caller believe, and is it true? ``retries`` holds the
table of answers; ``sending`` tells what happened to a try; here one follows from the other.
"""

from __future__ import annotations

import asyncio
import email.utils
import logging
from typing import TYPE_CHECKING, Any, Final

import attrs

from omipay_async.codes import ErrorCode, OrderStatus, Safety
from omipay_async.errors import (
    APIError,
    GatewayError,
    InvalidReply,
    NotSent,
    OmipayError,
    Outcome,
    OutcomeUnknown,
)
from omipay_async.events import Event, Events, logger
from omipay_async.protocol.decoding import RequestContext, decode
from omipay_async.protocol.reply import Received
from omipay_async.protocol.signing import Credentials, NonceProvider, checked_nonce
from omipay_async.transport.attempt import Attempt, Failed, Node, session_closed, too_late
from omipay_async.transport.cancellation import CancelReason, CancelScope, ScopeCancelled
from omipay_async.transport.failures import Failure
from omipay_async.transport.pool import Priority

from . import retries
from .retries import AMBIGUOUS, RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import tzinfo

    from omipay_async.clock import Clock, GatewayTime
    from omipay_async.transport.client import HTTPClient, Slot

    from .lifecycle import Lifecycle
    from .nodes import Nodes

_CONNECT_S: Final = 5.0
"""Connecting gets a third of a call's time, and never more than this: a repeat or the second node has its turn."""
_HALF_A_SECOND_MS: Final = 500  # a Date header stands for the second that began with it


@attrs.define(eq=False)
class CallState:
    """One call under way."""

    asked: RequestContext
    query: str = attrs.field(repr=False)
    priority: Priority
    timeout: float
    started: float
    """By the clock's ``monotonic``, as ``deadline``."""
    attempt: int = 0
    tried: float = 0.0
    """When the last try began, as ``started``."""
    resigned: bool = False
    """Whether it was signed anew after a SIGN_TIMEOUT."""
    waited_s: float = 0.0
    node: Node | None = None
    scope: CancelScope | None = None
    """What ``aclose()`` can end."""
    trip: Attempt | None = None
    """The request that is on its way now."""

    @property
    def deadline(self) -> float:
        """When the whole call is over."""
        return self.started + self.timeout

    @property
    def moves_money(self) -> bool:
        """Whether repeating it could move money twice."""
        return self.asked.endpoint.safety is Safety.MONEY

    @property
    def send_by(self) -> float | None:
        """A money call is not sent with less than half its time left: the reply must have a chance to be heard."""
        return self.started + self.timeout / 2 if self.moves_money else None

    @property
    def may_have_arrived(self) -> bool:
        """Whether the gateway may have received a request of which nobody has seen a reply."""
        return self.trip is not None and self.trip.may_have_arrived


@attrs.define(eq=False)
class CallExecutor:
    """Makes calls, many at once, until it is closed."""

    life: Lifecycle
    wire: HTTPClient
    nodes: Nodes
    credentials: Credentials
    nonces: NonceProvider
    gateway_time: GatewayTime
    policy: RetryPolicy
    events: Events
    zone: Callable[[], tzinfo]
    random: Callable[[], float]
    _calls: set[CallState] = attrs.field(factory=set)
    _ended: asyncio.Event | None = None

    @property
    def clock(self) -> Clock:
        """Where every wait comes from."""
        return self.gateway_time.clock

    async def call(self, asked: RequestContext, query: str, priority: Priority, timeout: float) -> Any:
        """The reply's model.

        Raises:
            OmipayError: as the table in ``retries`` has it.
        """
        call = CallState(asked, query, priority, timeout, self.clock.monotonic())
        try:
            with self.life.in_use():
                self._calls.add(call)
                result = await self._until_answered(call)
        except BaseException as error:
            if isinstance(error, OmipayError) and not call.moves_money:
                error.outcome = None  # of a read no error says anything of money
            elif isinstance(error, OmipayError) and error.outcome is None:
                error.outcome = Outcome.NOT_DONE  # what leaves it open says so itself
            self._tell(call, error)
            raise
        finally:
            self._leave(call)
        if self.events.wanted:
            self._tell(call, None, result)
        return result

    def report_rejected(self, asked: RequestContext, error: OmipayError) -> None:
        """Tell of a call whose arguments were refused. Of a read the refusal says nothing of money."""
        if asked.endpoint.safety is Safety.READ:
            error.outcome = None
        self._tell(CallState(asked, "", Priority.READ, 0.0, self.clock.monotonic()), error)

    def _leave(self, call: CallState) -> None:
        self._calls.discard(call)
        if self._ended is not None and not self._calls:
            self._ended.set()

    # -- tries ------------------------------------------------------------------------------------------------------

    async def _until_answered(self, call: CallState) -> Any:
        zone = self.zone()  # before anything is sent: a reply that cannot be read for want of a time zone helps nobody
        while True:
            got = await self._ask_the_nodes(call)
            if isinstance(got, Received):
                try:
                    result = decode(call.asked, got, zone)
                except (InvalidReply, APIError) as error:
                    got = Failed(self._kind_of(error, got), error)
                else:
                    self._tell_attempt(call, None)
                    return result
            self._tell_attempt(call, got.error)
            delay = self._decide(call, got)
            if delay is None:
                raise self._verdict(call, got)
            call.resigned = call.resigned or got.failure is Failure.SIGN_TIMEOUT
            logger.warning(
                "%s: try %d failed (%s), repeating", call.asked.endpoint.name, call.attempt, got.failure.value
            )
            if delay and (closed := await self._pause(call, delay)):
                raise self._verdict(call, closed)

    async def _ask_the_nodes(self, call: CallState) -> Received | Failed:
        node, *others = self.nodes.in_order()
        got = await self._try(call, node)
        if not isinstance(got, Failed) or got.failure is not Failure.NEVER_SENT:
            return got
        asked_enough = call.attempt - call.resigned >= max(self.policy.attempts, 2)
        if not others or asked_enough or self._time_left(call) <= 0:
            return got
        self._tell_attempt(call, got.error)
        logger.warning("%s: %s cannot be reached, asking the other node", call.asked.endpoint.name, node.name)
        self.events.emit(Event("node", endpoint=call.asked.endpoint.name, node=others[0].name))
        return await self._try(call, others[0])

    async def _try(self, call: CallState, node: Node) -> Received | Failed:
        call.attempt += 1
        call.node = node
        call.tried = self.clock.monotonic()
        slot = self.wire.slots.acquire_nowait(call.priority) or await self._wait_for_a_slot(call)
        if isinstance(slot, Failed):
            return slot
        try:
            got = await self._send(call, node, slot)
        finally:
            self.wire.slots.release(slot, call.priority)
        call.trip = None
        if isinstance(got, Failed) and got.failure is Failure.NEVER_SENT:
            self.nodes.failed(node)
        return got

    async def _wait_for_a_slot(self, call: CallState) -> Slot | Failed:
        began = self.clock.monotonic()
        endpoint = call.asked.endpoint.name
        try:
            with CancelScope(self.clock, self._time_left(call)) as call.scope:
                return await self.wire.slots.acquire(call.priority)
        except ScopeCancelled as ended:
            why = ended.why
        finally:
            call.waited_s += self.clock.monotonic() - began
        if why is CancelReason.CLOSED:
            return session_closed()
        message = f"{endpoint}: not sent, no slot came free in time (max_in_flight requests are under way)"
        return Failed(Failure.NO_SLOT, NotSent(message, endpoint=endpoint))

    async def _send(self, call: CallState, node: Node, slot: Slot) -> Received | Failed:
        endpoint = call.asked.endpoint
        now, send_by = self.clock.monotonic(), call.send_by
        if send_by is not None and now > send_by:
            return too_late(endpoint.name)
        if self.life.closed:
            return session_closed()
        until = call.deadline if call.moves_money else min(call.deadline, now + self.policy.try_timeout)
        connect_s = min(_CONNECT_S, call.timeout / 3, (until if send_by is None else send_by) - now)
        call.scope = CancelScope(self.clock, until - now)
        call.trip = Attempt(
            endpoint.name,
            endpoint.method,
            node,
            endpoint.path,
            signed_query=lambda: self._sign(call),
            secrets=call.asked.secrets,
            scope=call.scope,
            monotonic=self.clock.monotonic,
            until=until,
            connect_s=connect_s,
            send_by=send_by,
        )
        return await self.wire.exchange(slot, call.trip)

    def _sign(self, call: CallState) -> str:
        nonce = checked_nonce(self.nonces())
        query, sign = self.credentials.query(self.gateway_time.time_ms(), nonce)
        call.asked.secrets += (nonce, sign)
        return f"{call.query}&{query}" if call.query else query

    async def _pause(self, call: CallState, delay: float) -> Failed | None:
        try:
            with CancelScope(self.clock) as call.scope:
                await self.clock.sleep(delay)
        except ScopeCancelled:
            return session_closed()
        return None

    def _time_left(self, call: CallState) -> float:
        end = call.deadline if call.send_by is None else call.send_by
        return end - self.clock.monotonic()

    # -- verdicts ---------------------------------------------------------------------------------------------------

    def _kind_of(self, error: InvalidReply | APIError, received: Received) -> Failure:
        if isinstance(error, InvalidReply):
            return Failure.BAD_REPLY
        if isinstance(error, GatewayError):
            return Failure.SYSTEM_ERROR
        if error.error_code == ErrorCode.SIGN_TIMEOUT and self._learn(received):
            return Failure.SIGN_TIMEOUT
        return Failure.REFUSED

    def _learn(self, received: Received) -> bool:
        """Take the gateway's clock from the ``Date`` header. False if there is none: then signing anew is no use."""
        try:
            date = email.utils.parsedate_to_datetime(received.date or "")
            gateway_ms = round(date.timestamp() * 1000) + _HALF_A_SECOND_MS
        except (ValueError, TypeError, IndexError, OverflowError, OSError):
            return False
        if self.gateway_time.learn(gateway_ms):
            offset_s = self.gateway_time.offset_ms / 1000
            logger.warning("this machine's clock is off: signing with an offset of %.1f s from now on", offset_s)
            self.events.emit(Event("clock", node=received.node, offset_s=offset_s))
        return True

    def _decide(self, call: CallState, failed: Failed) -> float | None:
        delay = retries.decide(
            self.policy,
            call.asked.endpoint.safety,
            failed.failure,
            attempt=call.attempt - call.resigned,
            resigned=call.resigned,
            random=self.random,
        )
        return delay if delay is not None and delay < self._time_left(call) else None

    def _verdict(self, call: CallState, failed: Failed) -> OmipayError:
        error = failed.error
        if not call.moves_money or failed.failure not in AMBIGUOUS:
            return error
        raw = getattr(error, "raw", None)
        order_no = call.asked.numbers.get("order_no") or (raw or {}).get("order_no")
        endpoint = call.asked.endpoint.name
        unknown = OutcomeUnknown(
            f"{endpoint}: nobody knows whether it was acted on; do not repeat it ({error})",
            endpoint=endpoint,
            order_no=order_no if isinstance(order_no, str) and order_no else None,
            out_order_no=call.asked.numbers.get("out_order_no"),
            out_refund_no=call.asked.numbers.get("out_refund_no"),
            raw=raw,
        )
        unknown.__cause__ = error
        return unknown

    # -- what is told -----------------------------------------------------------------------------------------------

    def _tell_attempt(self, call: CallState, error: OmipayError | None) -> None:
        if not self.events.wanted and not logger.isEnabledFor(logging.DEBUG):
            return
        event = self._event(call, "attempt", self.clock.monotonic() - call.tried, error)
        logger.debug(
            "%s: try %d on %s took %.3f s: %s",
            event.endpoint,
            event.attempt,
            event.node,
            event.duration_s,
            event.error or "answered",
        )
        self.events.emit(event)

    def _tell(self, call: CallState, error: BaseException | None, result: Any = None) -> None:
        if isinstance(error, OutcomeUnknown):
            logger.error("%s", error)
        if not self.events.wanted:
            return
        event = self._event(call, "call", self.clock.monotonic() - call.started, error)
        if getattr(result, "status", None) is OrderStatus.PAYING and call.moves_money:
            event = attrs.evolve(event, error_code=ErrorCode.USERPAYING)
        order_no = getattr(result, "order_no", None) or event.order_no
        self.events.emit(attrs.evolve(event, order_no=order_no))

    def _event(self, call: CallState, name: str, duration_s: float, error: BaseException | None) -> Event:
        outcome = getattr(error, "outcome", None)
        if error is not None and not isinstance(error, OmipayError) and call.moves_money:
            outcome = Outcome.UNKNOWN if call.may_have_arrived else Outcome.NOT_DONE
        numbers = call.asked.numbers
        return Event(
            name,
            endpoint=call.asked.endpoint.name,
            safety=call.asked.endpoint.safety,
            attempt=call.attempt,
            duration_s=duration_s,
            waited_s=call.waited_s,
            node=call.node.name if call.node is not None else None,
            error=None if error is None else type(error).__name__,
            outcome=outcome,
            error_code=getattr(error, "error_code", None),
            order_no=getattr(error, "order_no", None) or numbers.get("order_no"),
            out_order_no=numbers.get("out_order_no"),
            out_refund_no=numbers.get("out_refund_no"),
        )

    # -- the end ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End the calls of which nothing can have reached the gateway, and reads."""
        for call in self._calls:
            if call.scope is not None and not (call.moves_money and call.may_have_arrived):
                call.scope.end(CancelReason.CLOSED)

    async def ended(self) -> None:
        """Return once no call is under way; their deadlines bound this."""
        if self._calls and self.life.is_here():
            self._ended = self._ended or asyncio.Event()
            await self._ended.wait()
