"""A call from its first attempt to its end: deadline, slots, repeats, nodes, the clock's offset. No I/O of its own.

Before each attempt the question is: if this fails here, what does the caller believe, and is it true? ``retries`` holds
the table of what is repeated, ``outcomes`` that of what is believed; the transport tells what happened to an attempt,
and here one follows from the other. Failures are values until the end of the call, and raised once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import attrs

from omipay_async.errors import APIError, GatewayError, InvalidReply, NotSent, OmipayError
from omipay_async.protocol.http_date import believable_date_ms
from omipay_async.protocol.reply import Received
from omipay_async.protocol.signing import Credentials, NonceProvider, checked_nonce
from omipay_async.text import joined
from omipay_async.transport.attempt import Attempt, Failed, Node, session_closed, too_late
from omipay_async.transport.cancellation import CancelReason, CancelScope, ScopeCancelled
from omipay_async.transport.failures import Failure
from omipay_async.transport.pool import Priority

from . import outcomes, retries
from .call_state import CallState

if TYPE_CHECKING:
    from collections.abc import Callable

    from omipay_async.clock import Clock, GatewayTime
    from omipay_async.protocol.context import RequestContext
    from omipay_async.protocol.decoding import ReplyDecoder
    from omipay_async.text import Secret
    from omipay_async.transport.client import HTTPClient, Slot

    from .journaling import CallJournal
    from .lifecycle import Lifecycle
    from .nodes import Nodes
    from .observer import CallObserver
    from .retries import RetryPolicy

_CONNECT_S: Final = 5.0
"""Connecting gets a third of a call's time, and never more than this: a repeat or the second node has its turn."""
_HALF_A_SECOND_MS: Final = 500  # a Date header stands for the second that began with it


@attrs.define(eq=False)
class CallExecutor:
    """Makes calls, many at once, until the session is closed."""

    life: Lifecycle
    client: HTTPClient
    nodes: Nodes
    credentials: Credentials
    nonces: NonceProvider
    gateway_time: GatewayTime
    policy: RetryPolicy
    observer: CallObserver
    decoder: Callable[[], ReplyDecoder]
    random: Callable[[], float]
    journal: CallJournal | None
    _calls: set[CallState] = attrs.field(factory=set)
    _ended: asyncio.Event | None = None

    @property
    def clock(self) -> Clock:
        """Where every wait comes from."""
        return self.gateway_time.clock

    async def call(self, request: RequestContext, query: str, priority: Priority, timeout: float) -> Any:
        """The reply's model.

        Raises:
            OmipayError: as the tables in ``retries`` and ``outcomes`` have it.
        """
        call = CallState.begin(self.clock, request, query, priority, timeout)
        try:
            with self.life.in_use():
                self._calls.add(call)
                ended = await self._until_answered(call)
                error = ended.error if isinstance(ended, Failed) else None
        except OmipayError as refusal:  # of the set-up or of a nonce: nothing was sent
            error = outcomes.stated(request, refusal)
        except BaseException as interruption:
            self._interrupted(call, interruption)
            raise
        try:
            return await self._end(call, error, ended if error is None else None)
        finally:
            self._leave(call)

    async def _end(self, call: CallState, error: OmipayError | None, result: Any) -> Any:
        self.observer.call_ended(call, error, result)
        if self.journal is not None:
            await self.journal.close(call, error, result)
        if error is not None:
            raise error
        return result

    def _interrupted(self, call: CallState, error: BaseException) -> None:
        self.observer.call_ended(call, error)
        if self.journal is not None:
            self.journal.close_beside(call, error)
        self._leave(call)

    def report_rejected(self, request: RequestContext, error: OmipayError) -> OmipayError:
        """Tell of a call whose arguments were refused. Returns the error to raise: its outcome follows the endpoint."""
        stated = outcomes.restated(error, outcomes.of_call(request, error))
        self.observer.call_ended(CallState.begin(self.clock, request, "", Priority.READ, 0.0), stated)
        return stated

    def _leave(self, call: CallState) -> None:
        self._calls.discard(call)
        if self._ended is not None and not self._calls:
            self._ended.set()

    # -- attempts ---------------------------------------------------------------------------------------------------

    async def _until_answered(self, call: CallState) -> Any | Failed:
        self.decoder()  # before anything is sent: a reply that cannot be read for want of a time zone helps nobody
        nodes = self.nodes.in_order()
        while True:
            got = await self._attempt(call, nodes[0])
            self.observer.attempt_ended(call, got if isinstance(got, Failed) else None)
            if not isinstance(got, Failed):
                return got
            repeat = retries.decide(self.policy, self._situation(call, got, len(nodes) > 1), self.random)
            if repeat is None:
                return Failed(got.failure, outcomes.verdict(call.request, got))
            call.signed_again = call.signed_again or got.failure is Failure.SIGN_TIMEOUT
            if repeat.on_another_node:
                self.observer.node_changed(call, nodes[0].name, nodes[1].name)
                nodes = nodes[1:]
            else:
                nodes = self.nodes.in_order()
                self.observer.repeating(call, got.failure, repeat.delay)
            if repeat.delay and (closed := await self._pause(call, repeat.delay)):
                return Failed(closed.failure, outcomes.verdict(call.request, closed))

    def _situation(self, call: CallState, failed: Failed, another_node: bool) -> retries.Situation:
        return retries.Situation(
            safety=call.request.endpoint.safety,
            failure=failed.failure,
            attempts=call.attempts - call.signed_again,
            time_left=call.time_left(self.clock),
            signed_again=call.signed_again,
            another_node=another_node,
            retry_after=call.retry_after,
        )

    async def _attempt(self, call: CallState, node: Node) -> Any | Failed:
        call.attempts += 1
        call.node = node
        call.retry_after = None
        call.attempt_started = self.clock.monotonic()
        pool = self.client.pool
        slot = pool.acquire_nowait(call.priority) or await self._wait_for_slot(call)
        if isinstance(slot, Failed):
            return slot
        try:
            got = await self._write_down(call) or await self._send(call, node, slot)
            call.attempt = None
            return self._read(call, got, slot) if isinstance(got, Received) else self._note(node, got)
        finally:
            pool.release(slot, call.priority)

    async def _wait_for_slot(self, call: CallState) -> Slot | Failed:
        began = self.clock.monotonic()
        endpoint = call.request.endpoint.name
        try:
            with CancelScope(self.clock, call.time_left(self.clock)) as call.scope:
                return await self.client.pool.acquire(call.priority)
        except ScopeCancelled as ended:
            why = ended.why
        finally:
            call.waited_s += self.clock.monotonic() - began
        if why is CancelReason.CLOSED:
            return session_closed()
        message = f"{endpoint}: not sent, no slot came free in time (max_in_flight requests are under way)"
        return Failed(Failure.NO_SLOT, NotSent(message, endpoint=endpoint))

    async def _write_down(self, call: CallState) -> Failed | None:
        if self.journal is None or not call.moves_money or call.entry is not None:
            return None
        return self._no_longer(call) or await self.journal.open(call)

    def _no_longer(self, call: CallState) -> Failed | None:
        """Why a request that could leave now must not, if so."""
        if call.send_by is not None and call.send_by.is_over(self.clock):
            return too_late(call.request.endpoint.name)
        return session_closed() if self.life.closed else None

    async def _send(self, call: CallState, node: Node, slot: Slot) -> Received | Failed:
        refused = self._no_longer(call)
        if refused is not None:
            return refused
        now, endpoint = self.clock.monotonic(), call.request.endpoint
        until = call.deadline if call.moves_money else min(call.deadline, now + self.policy.try_timeout)
        call.scope = CancelScope(self.clock, until - now)
        call.attempt = Attempt(
            endpoint.name,
            endpoint.method,
            node,
            endpoint.path,
            signed_query=lambda: self._sign(call),
            secrets=call.request.secrets,
            scope=call.scope,
            clock=self.clock,
            until=until,
            connect_s=min(_CONNECT_S, call.timeout / 3, call.time_left(self.clock), until - now),
            send_by=call.send_by,
        )
        return await self.client.exchange(slot, call.attempt)

    def _sign(self, call: CallState) -> Secret:
        nonce = checked_nonce(self.nonces())
        call.signed_ms = self.gateway_time.time_ms()
        query, sign = self.credentials.sign(call.signed_ms, nonce)
        call.request.secrets += (nonce, sign)
        return joined(call.query, "&", query) if call.query else query

    async def _pause(self, call: CallState, delay: float) -> Failed | None:
        try:
            with CancelScope(self.clock) as call.scope:
                await self.clock.sleep(delay)
        except ScopeCancelled:
            return session_closed()
        return None

    # -- what came back ---------------------------------------------------------------------------------------------

    def _note(self, node: Node, failed: Failed) -> Failed:
        if failed.failure is Failure.NEVER_SENT:
            self.nodes.failed(node)
        return failed

    def _read(self, call: CallState, received: Received, slot: Slot) -> Any | Failed:
        decoded = self.decoder().decode(call.request, received)
        if decoded.error is None:
            return decoded.value
        if isinstance(decoded.error, InvalidReply):
            failed = Failed(Failure.BAD_REPLY, decoded.error)
            self.client.distrust(slot)  # whose reply it was is not known, nor whose comes next
        else:
            failed = Failed(self._failure_of(call, decoded.error, received), decoded.error)
        call.retry_after = retries.told_to_wait(received, self.clock.time_ms())
        return failed

    def _failure_of(self, call: CallState, error: APIError, received: Received) -> Failure:
        if isinstance(error, GatewayError):
            return Failure.SYSTEM_ERROR
        date_ms = believable_date_ms(received.date, self.clock.time_ms())
        failure = retries.failure_of_refusal(call.request.endpoint.safety, error, date_ms, call.signed_ms)
        if failure is Failure.SIGN_TIMEOUT and date_ms is not None:
            self._learn(date_ms, received.node)
        return failure

    def _learn(self, date_ms: int, node: str | None) -> None:
        """Take the gateway's clock from the ``Date`` of its reply."""
        if self.gateway_time.learn(date_ms + _HALF_A_SECOND_MS):
            self.observer.clock_learnt(node, self.gateway_time.offset_ms / 1000)

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
        if self.journal is not None:
            await self.journal.drain()
