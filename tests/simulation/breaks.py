"""Rules of the library that can be broken on purpose, to check that the simulation finds that."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

import attrs

from omipay_async import Outcome, Safety
from omipay_async.calls import outcomes, retries
from omipay_async.calls.journaling import CallJournal
from omipay_async.fulfilment.wakeups import WakeUps
from omipay_async.protocol import decoding
from omipay_async.sql import due_orders, effects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def _repeat_money() -> Any:
    """A money call is repeated like a read when there is no reply."""
    decide = retries.decide

    def broken(policy: Any, now: Any, random: Any) -> Any:
        return decide(policy, attrs.evolve(now, safety=Safety.READ), random)

    return mock.patch.object(retries, "decide", broken)


def _believe_silence() -> Any:
    """A money call without a reply is reported as not done."""
    unknown = outcomes.unknown

    def broken(request: Any, error: Any) -> Any:
        return outcomes.restated(unknown(request, error), Outcome.NOT_DONE)

    return mock.patch.object(outcomes, "unknown", broken)


def _believe_any_reply() -> Any:
    """A reply is accepted although it names another sale or contradicts itself."""
    return mock.patch.object(decoding, "why_not_believed", return_value=None)


def _record_later() -> Any:
    """The success of a transactional handler is recorded after its transaction, not in it."""

    async def broken(_: Any, connection: Any, __: Any) -> None:
        await connection.commit()

    return mock.patch.object(effects.Effects, "_record", broken)


def _hold_for_ever() -> Any:
    """An order that a sweep has taken is never due again by itself."""
    return mock.patch.object(due_orders, "_HOLD", timedelta(days=3650))


def _send_first() -> Any:
    """A money call is sent before it is written down."""

    async def broken(*_: Any) -> None:
        return None

    return mock.patch.object(CallJournal, "open", broken)


def _keep_listening() -> Any:
    """Closing a session does not end the task that receives wake-ups."""

    async def broken(_: Any) -> None:
        return None

    return mock.patch.object(WakeUps, "aclose", broken)


BREAKS: Final[dict[str, Callable[[], Any]]] = {
    "repeat-money": _repeat_money,
    "believe-silence": _believe_silence,
    "believe-any-reply": _believe_any_reply,
    "record-later": _record_later,
    "hold-for-ever": _hold_for_ever,
    "send-first": _send_first,
    "keep-listening": _keep_listening,
}


@contextlib.contextmanager
def broken(name: str | None) -> Iterator[None]:
    """While open, the rule ``name`` is broken; with None no rule is."""
    with contextlib.nullcontext() if name is None else BREAKS[name]():
        yield
