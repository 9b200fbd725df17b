"""Runs a call from its first attempt to its end: deadline, slots, repeats, nodes, clock offset. No I/O of its own.

The transport reports what happened to an attempt. ``retries`` decides whether it is repeated, ``outcomes`` what the
caller may conclude about the money. A failure is a value until the call ends; only then is it raised, once.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

import attrs

from omipay_async.clock import wait
from omipay_async.errors import APIError, InvalidReply, OmipayError
from omipay_async.journal import JOURNAL_S
from omipay_async.protocol.decoding import decode
from omipay_async.protocol.http_date import HALF_A_SECOND_MS, believable_date_ms
from omipay_async.protocol.reply import Received
from omipay_async.protocol.signing import Credentials, NonceProvider, new_nonce
from omipay_async.text import joined
from omipay_async.transport.attempt import Attempt, Node
from omipay_async.transport.cancellation import CancelReason, CancelScope, ScopeCancelled
from omipay_async.transport.failures import Failed, Failure, not_sent, session_closed, too_late
from omipay_async.transport.pool import Loan, Priority

from . import outcomes, retries
from .call_state import CallState
from .observer import log_call

if TYPE_CHECKING:
    from collections.abc import Callable

    from omipay_async.clock import Clock
    from omipay_async.protocol.context import RequestContext
    from omipay_async.protocol.conversion import ModelConverter
    from omipay_async.text import Secret
    from omipay_async.transport.client import HTTPClient
    from omipay_async.transport.pool import Slot

    from .gateway_time import GatewayTime
    from .journaling import CallJournal
    from .lifecycle import Lifecycle
    from .nodes import Nodes
    from .observer import CallObserver
    from .retries import RetryPolicy

_CONNECT_S: Final = 5.0
"""Connecting may take a third of a call's time, and never more than this, so that a repeat or the second node gets its
turn."""


@attrs.define(eq=False, repr=False)
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
    converter: Callable[[], ModelConverter]
    """Looks the time zone up at the first call."""
    random: Callable[[], float]
    journal: CallJournal | None
    _calls: set[CallState] = attrs.field(factory=set)
    _all_ended: asyncio.Future[None] | None = None

    @property
    def clock(self) -> Clock:
        """The clock that every wait uses."""
        return self.gateway_time.clock

    async def call(self, request: RequestContext, query: str, priority: Priority, timeout: float) -> Any:
        """Make a call and return the reply's model.

        Raises:
            OmipayError: as the tables in ``retries`` and ``outcomes`` describe.
        """
        call = CallState.begin(self.clock, request, query, priority, timeout)
        result: Any | OmipayError = None
        try:
            result = await self._result(call)
            await self._report_end(call, result)
            if isinstance(result, OmipayError):
                raise result
            return result
        finally:
            self._leave(call)
            del result  # the traceback of an error refers to this frame: both would stay in memory, as in ``_leave``

    async def _result(self, call: CallState) -> Any | OmipayError:
        """The reply's model, or the error to raise. A cancellation, and what is not ours, is raised here already."""
        try:
            with self.life.in_use():
                self._calls.add(call)
                return await self._until_answered(call)
        except BaseException as error:
            if isinstance(error, Exception) and call.moves_money and call.may_have_arrived:
                return outcomes.unknown(call.request, error)  # a clock may raise any, and Python a MemoryError
            if isinstance(error, OmipayError):  # from the set-up, or from the provider of nonces
                return outcomes.for_caller(call.request, error)
            self._report_interruption(call, error)
            raise

    # The hook and the clock are the user's. What they raise does not replace the call's own result. If it must not be
    # caught, such as KeyboardInterrupt, the end of the call is written down before it goes on.

    async def _report_end(self, call: CallState, result: Any | OmipayError) -> None:
        error, reply = (result, None) if isinstance(result, OmipayError) else (None, result)
        try:
            self._observe_end(call, error, reply)
        finally:
            if self.journal is not None:
                await self.journal.close(call, error, reply)

    def _report_interruption(self, call: CallState, error: BaseException) -> None:
        try:
            self._observe_end(call, error)
        finally:
            if self.journal is not None:
                self.journal.close_in_background(call, error)

    def _observe_end(self, call: CallState, error: BaseException | None, reply: Any = None) -> None:
        try:
            self.observer.call_ended(call, error, reply)
        except Exception as failure:  # noqa: BLE001 - the clock is the user's, and may raise anything
            log_call(logging.ERROR, call.request, "its end could not be reported", exc_info=failure)

    def report_rejected(self, request: RequestContext, error: OmipayError) -> OmipayError:
        """Report a call whose arguments were rejected. Returns the error to raise, with its outcome."""
        rejected = outcomes.restated(error, outcomes.of_call(request, error))
        self.observer.call_ended(CallState.begin(self.clock, request, "", Priority.READ, 0.0), rejected)
        return rejected

    def _leave(self, call: CallState) -> None:
        call.attempt = None  # it refers to the call: both would stay in memory until garbage is collected
        self._calls.discard(call)
        if self._all_ended is not None and not self._calls and not self._all_ended.done():
            self._all_ended.set_result(None)

    # -- attempts ---------------------------------------------------------------------------------------------------

    async def _until_answered(self, call: CallState) -> Any | OmipayError:
        """Make attempts until one is answered, or must not be repeated."""
        self.converter()  # before anything is sent: this raises if the time zone is not known to the machine
        nodes = self.nodes.in_order()
        while True:
            result = await self._attempt(call, nodes[0])
            self.observer.attempt_ended(call, result if isinstance(result, Failed) else None)
            if not isinstance(result, Failed):
                return result
            repeat = retries.decide(self.policy, self._situation(call, result, len(nodes) > 1), self.random)
            if repeat is None:
                return outcomes.final_error(call.request, result)
            call.attempt = None  # of a money call, only what was certainly not acted on is repeated
            call.signed_again = call.signed_again or result.failure is Failure.SIGN_TIMEOUT
            if repeat.on_another_node:
                self.observer.node_changed(call, nodes[0].name, nodes[1].name)
                nodes = nodes[1:]
            else:
                nodes = self.nodes.in_order()
                self.observer.repeating(call, result.failure, repeat.delay)
            if closed := await self._pause(call, repeat.delay):
                return outcomes.final_error(call.request, closed)

    def _situation(self, call: CallState, failed: Failed, another_node: bool) -> retries.Situation:
        return retries.Situation(
            safety=call.request.endpoint.safety,
            failure=failed.failure,
            attempts=call.attempts - call.signed_again,
            time_left=call.time_left(self.clock),
            signed_again=call.signed_again,
            another_node=another_node,
            retry_after=failed.retry_after,
        )

    async def _attempt(self, call: CallState, node: Node) -> Any | Failed:
        """Wait for a slot, write a money call down before its first attempt, send the request, and read the reply."""
        call.attempts += 1
        call.node = node
        call.attempt_started = self.clock.monotonic()
        call.attempt_waited_s = 0.0
        pool = self.client.pool
        slot = pool.acquire_nowait(call.priority) or await self._wait_for_slot(call)
        if self.journal is not None and call.moves_money and call.entry is None and not isinstance(slot, Failed):
            slot = await self._write_down(self.journal, call, slot)
        if isinstance(slot, Failed):
            return slot
        try:
            failed = self._reason_not_to_send(call)
            received = failed or await self.client.exchange(slot, self._new_attempt(call, node))
            if isinstance(received, Received):
                return self._read(call, received, slot)
            if received.failure is Failure.NEVER_SENT:
                self.nodes.failed(node)
            return received
        finally:
            pool.release(slot, call.priority)

    async def _wait_for_slot(self, call: CallState) -> Slot | Failed:
        began = self.clock.monotonic()
        try:
            with CancelScope(self.clock, call.time_left(self.clock)) as call.scope:
                return await self.client.pool.acquire(call.priority)
        except ScopeCancelled as ended:
            why = ended.why
        finally:
            waited_s = self.clock.monotonic() - began
            call.attempt_waited_s += waited_s
            call.waited_s += waited_s
        if why is CancelReason.CLOSED:
            return session_closed()
        why_not_sent = "no slot came free in time (max_in_flight requests are under way)"
        return not_sent(Failure.NO_TIME, call.request.endpoint.name, why_not_sent)

    async def _write_down(self, journal: CallJournal, call: CallState, slot: Slot) -> Slot | Failed:
        """Write a call down. Returns a slot to send it in: not the one it had, if the journal was slow."""
        pool = self.client.pool
        loan = Loan(pool, call.priority, slot)
        try:
            failed = self._reason_not_to_send(call) or await journal.open(call, when_slow=loan.begin)
        except BaseException:
            loan.end()
            raise
        if failed is not None:
            loan.end()
            return failed
        if loan.slot is not None:
            return loan.slot
        call.priority = Priority.WRITTEN_DOWN  # otherwise it would wait behind calls that the journal does not know
        own_slot = pool.acquire_nowait(call.priority)
        loan.end()
        return own_slot or await self._wait_for_slot(call)

    def _reason_not_to_send(self, call: CallState) -> Failed | None:
        """The failure of a request that must not be sent any more; None if it may be sent."""
        if call.send_by is not None and call.send_by.is_over(self.clock):
            return too_late(call.request.endpoint.name)
        return session_closed() if self.life.closed else None

    def _new_attempt(self, call: CallState, node: Node) -> Attempt:
        clock = self.clock
        now = clock.monotonic()
        until = call.deadline if call.moves_money else min(call.deadline, now + self.policy.try_timeout)
        call.scope = CancelScope(clock, until - now)
        attempt = call.attempt = Attempt(
            call.request.endpoint,
            node,
            new_signed_query=lambda: self._signed_query(call),
            secrets=call.request.secrets,
            scope=call.scope,
            clock=clock,
            until=until,
            connect_s=min(_CONNECT_S, call.timeout / 3, call.time_left(clock), until - now),
            send_by=call.send_by,
        )
        return attempt

    def _signed_query(self, call: CallState) -> Secret:
        query, call.signed_ms, secrets = self.sign()
        call.request.secrets += secrets
        return joined(call.query, "&", query) if call.query else query

    def sign(self) -> tuple[Secret, int, tuple[Secret, Secret]]:
        """Sign a request or a page now.

        Returns the query string that authorises it, its time, and as secrets its nonce and ``sign``.
        """
        nonce = new_nonce(self.nonces)  # before the time is read, since a provider may be slow
        time_ms = self.gateway_time.time_ms()
        query, sign = self.credentials.sign(time_ms, nonce)
        return query, time_ms, (nonce, sign)

    async def _pause(self, call: CallState, delay: float) -> Failed | None:
        """Wait until the next attempt. Returns a failure if the session is closed meanwhile."""
        try:
            with CancelScope(self.clock) as call.scope:
                # Without a delay too, other tasks get their turn: an attempt may fail without awaiting anything.
                await (self.clock.sleep(delay) if delay else asyncio.sleep(0))
        except ScopeCancelled:
            return session_closed()
        return None

    # -- the reply --------------------------------------------------------------------------------------------------

    def _read(self, call: CallState, received: Received, slot: Slot) -> Any | Failed:
        """The model of a reply, or the failure that it means."""
        decoded = decode(call.request, received, self.converter())
        if not isinstance(decoded, APIError | InvalidReply):
            return decoded
        retry_after = retries.requested_wait_s(received, self.gateway_time.time_ms())
        if isinstance(decoded, InvalidReply):
            slot.close()  # it may be another call's reply, and so may the next one on this connection
            return Failed(Failure.BAD_REPLY, decoded, retry_after)
        date_ms = believable_date_ms(received.date, self.clock.time_ms())
        failure = retries.failure_of_refusal(call.request.endpoint.safety, decoded, date_ms, call.signed_ms)
        if failure is Failure.SIGN_TIMEOUT and date_ms is not None:
            self._learn(date_ms, received.node)
        return Failed(failure, decoded, retry_after)

    def _learn(self, date_ms: int, node: str | None) -> None:
        """Learn the gateway's clock from the ``Date`` of its reply."""
        if self.gateway_time.learn(date_ms + HALF_A_SECOND_MS):
            self.observer.clock_learnt(node, self.gateway_time.offset_ms / 1000)

    # -- the end ----------------------------------------------------------------------------------------------------

    def leave_loop(self) -> None:
        """Forget what was under way in an event loop that has ended."""
        self._calls.clear()
        self._all_ended = None

    def close(self) -> None:
        """End all reads, and the money calls that certainly have not reached the gateway."""
        for call in self._calls:
            if call.scope is not None and not (call.moves_money and call.may_have_arrived):
                call.scope.end(CancelReason.CLOSED)

    async def wait_closed(self) -> None:
        """Return once no call is under way, or once the time of all calls is over.

        A KeyboardInterrupt may have ended a call in the moment before ``_leave`` forgets it.
        """
        if self._calls:
            self._all_ended = self._all_ended or asyncio.get_running_loop().create_future()
            last = max(call.deadline for call in self._calls) + JOURNAL_S
            await wait(self.clock, (self._all_ended,), last - self.clock.monotonic())
        if self.journal is not None:
            await self.journal.drain()
