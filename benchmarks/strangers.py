"""What strangers cost a shop: its own calls during a thousand forged, correctly signed notifications per second.

The forgeries use one captured signature. They name an order that exists, or unknown orders, also at a gateway that
answers confirmations slowly or with 502. Each block makes calls one after the other, without the attack and then during
it. The target of each call is twice its unloaded latency plus one round trip to the gateway: the figure of a row is the
latency during the attack, divided by that.

The bodies are made in this process, as the shop's own web server would receive them there, so the cost of a task for
each body is included.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import json
import statistics
import time
from typing import TYPE_CHECKING, Any, Final

from . import comparators, server
from .comparators import ORDER_NO, signed
from .measure import latency_ms
from .report import Row, Target

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from omipay_async import AsyncOmipay
    from omipay_async.models import Order

    from .measure import Effort

    Ask = Callable[[AsyncOmipay], Awaitable[None]]
    Latencies = dict[str, list[float]]
    """The milliseconds of each call, a median for each block."""

_GATEWAY_MS: Final = 30
_A_SECOND: Final = 1_000
_TICK_S: Final = 0.01
_BEFORE_S: Final = 0.7
_FORGERIES: Final = {
    "an existing order": ORDER_NO,
    "unknown orders": server.UNKNOWN,
    "a slow gateway": server.SLOW,
    "a gateway that answers 502": server.BROKEN,
}
"""The number in the bodies; one that is not ``ORDER_NO`` is followed by another figure each time."""


async def own_calls(effort: Effort) -> list[Row]:
    """A scan, a read, a poll of a paid order and a genuine notification, under each kind of attack."""
    rows = []
    for kind, order_no in _FORGERIES.items():
        quiet, attacked = await _measured(effort, order_no)
        for call in _CALLS:
            limits = [2 * unloaded + _GATEWAY_MS for unloaded in quiet[call]]
            ratio = statistics.median(late / limit for late, limit in zip(attacked[call], limits, strict=True))
            sides = {"unloaded": statistics.median(quiet[call]), "attacked": statistics.median(attacked[call])}
            what = f"{call}, {_A_SECOND:,} forgeries/s, {kind} / (2 x unloaded + a round trip)"
            rows.append(Row(what, ratio, target=Target(1), sides=sides, sides_unit="ms"))
    return rows


async def _measured(effort: Effort, order_no: str) -> tuple[Latencies, Latencies]:
    """How long each call takes in each block, without and during the attack."""
    quiet: Latencies = {call: [] for call in _CALLS}
    attacked: Latencies = {call: [] for call in _CALLS}
    with server.running(_GATEWAY_MS) as url:
        async with comparators.session(url) as omipay:
            await _add_block(omipay, {call: [] for call in _CALLS}, 2)
            for _ in range(effort.of(5, 1)):
                await _add_block(omipay, quiet, effort.of(20, 5))
                async with _flood(omipay, order_no):
                    await _add_block(omipay, attacked, effort.of(20, 5))
    return quiet, attacked


async def _add_block(omipay: AsyncOmipay, latencies: Latencies, calls: int) -> None:
    for call, ask in _CALLS.items():
        one = functools.partial(ask, omipay)
        latencies[call].append(statistics.median([await latency_ms(one) for _ in range(calls)]))


@contextlib.asynccontextmanager
async def _flood(omipay: AsyncOmipay, order_no: str) -> AsyncIterator[None]:
    """Begin the attack, and enter when it has gone on for a while."""
    flooding = asyncio.create_task(_send_bodies(omipay, order_no))
    try:
        await asyncio.sleep(_BEFORE_S)
        yield
    finally:
        flooding.cancel()
        await asyncio.wait([flooding])


async def _send_bodies(omipay: AsyncOmipay, order_no: str) -> None:
    captured = signed({})
    numbers = (order_no if order_no == ORDER_NO else f"{order_no}{number}" for number in itertools.count())
    under_way: set[asyncio.Task[Any]] = set()
    began, sent = time.perf_counter(), 0
    try:
        while True:
            # As many as are due, also if the loop is late.
            for _ in range(int((time.perf_counter() - began) * _A_SECOND) - sent):
                forged = _body(captured, next(numbers), server.ORDER["amount"] + 1)
                receiving = asyncio.create_task(omipay.receive_notification(forged, _handle))
                under_way.add(receiving)
                receiving.add_done_callback(under_way.discard)
                sent += 1
            await asyncio.sleep(_TICK_S)
    finally:
        for receiving in under_way:
            receiving.cancel()


def _body(signature: dict[str, str], order_no: str, amount: int) -> bytes:
    proof = {name: signature[name] for name in ("nonce_str", "timestamp", "sign")}
    amounts = {"currency": "AUD", "total_amount": amount}
    return json.dumps({"return_code": "SUCCESS", "order_no": order_no, **proof, **amounts}).encode()


async def _handle(order: Order) -> None:
    """Do nothing: the shop's own work is not measured."""


_numbers = itertools.count()


async def _query(omipay: AsyncOmipay) -> None:
    await omipay.query_order(ORDER_NO)


async def _poll(omipay: AsyncOmipay) -> None:
    order = await omipay.poll_until_paid(f"TR{next(_numbers)}", first_wait=0)
    assert order.is_paid


async def _genuine(omipay: AsyncOmipay) -> None:
    body = _body(signed({}), f"TR{next(_numbers)}", server.ORDER["amount"])
    reply = await omipay.receive_notification(body, _handle)
    assert reply.status == 200, reply.error


_CALLS: Final[Mapping[str, Ask]] = {
    "make_scan_order": comparators.scan,
    "query_order": _query,
    "poll_until_paid": _poll,
    "a genuine notification": _genuine,
}
