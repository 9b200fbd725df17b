"""The CPU time of one QueryOrder, and of the steps of a call that need no network."""

from __future__ import annotations

import contextlib
import json
import ssl
import timeit
import zoneinfo
from pathlib import Path
from typing import TYPE_CHECKING

import trustme

from omipay_async.protocol import conversion, decoding, endpoints
from omipay_async.protocol.context import RequestContext
from omipay_async.protocol.reply import Received
from omipay_async.protocol.signing import Credentials, TaggedNonces, signature

from . import comparators, server
from .comparators import NAIVE, NAIVE_IN_TURN, OURS, OURS_OVER_AIOHTTP, SIDES
from .measure import cpu_per_call, in_turn
from .report import Row, Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from .measure import Effort, Figures

_FAR_AWAY_MS = 20


async def query_order(effort: Effort) -> list[Row]:
    """CPU per call, one call at a time. All sign and read; only this library and openai-python make typed values."""
    missing = []
    with server.running() as url:
        async with contextlib.AsyncExitStack() as stack:
            blocks = {}
            for side, opened in SIDES.items():
                if side == NAIVE_IN_TURN:  # one call at a time never waits for its turn
                    continue
                try:
                    ask = await stack.enter_async_context(opened(url))
                except ImportError:
                    missing.append(f"{side} is not installed and was left out.")
                    continue
                await cpu_per_call(ask, 40)()
                blocks[side] = cpu_per_call(ask, effort.of(150, 40))
            figures = await in_turn(blocks, effort.of(25, 3))
    ratios = "; ".join(f"{side} {figures.ratio(side, NAIVE):.2f}" for side in blocks if side != NAIVE)
    return [
        Row(
            "CPU per query_order, own transport / naive httpx",
            figures.ratio(OURS, NAIVE),
            target=Target(0.40),
            sides=figures.medians(),
            note=" ".join([f"Ratios: {ratios}.", *missing]),
        ),
        Row(
            "CPU per query_order, AiohttpTransport / naive httpx",
            figures.ratio(OURS_OVER_AIOHTTP, NAIVE),
            target=Target(0.50),
        ),
    ]


async def query_order_tls(effort: Effort) -> list[Row]:
    """CPU per call with TLS, which production uses."""
    figures = await _under_tls(effort.of(150, 40), effort.of(25, 3))
    what = "CPU per query_order under TLS, own transport / naive httpx"
    return [Row(what, figures.ratio(OURS, NAIVE), target=Target(0.40), sides=figures.medians())]


async def query_order_far_away(effort: Effort) -> list[Row]:
    """CPU per call with TLS, if each reply takes its time.

    The processor does other things meanwhile. What it had at hand of this program is then no longer there, so a call
    costs several times as much on both sides, and what counts is how much different code it runs through.
    """
    figures = await _under_tls(effort.of(30, 10), effort.of(15, 3), delay_ms=_FAR_AWAY_MS)
    what = f"the same, at a gateway that takes {_FAR_AWAY_MS} ms"
    return [Row(what, figures.ratio(OURS, NAIVE), sides=figures.medians())]


async def _under_tls(calls: int, blocks: int, delay_ms: int = 0) -> Figures:
    authority, context = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(context)
    key_and_chain = authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem
    with key_and_chain.tempfile() as certificate, server.running(delay_ms, Path(certificate)) as url:
        async with (
            comparators.ours(url, verify=context) as ours,
            comparators.naive_httpx(url, verify=context) as theirs,
        ):
            sides = {}
            for side, ask in ((NAIVE, theirs), (OURS, ours)):
                await cpu_per_call(ask, 40)()
                sides[side] = cpu_per_call(ask, calls)
            return await in_turn(sides, blocks)


async def steps(effort: Effort) -> list[Row]:
    """Microseconds of each step of a call, measured alone. In a call, with cold caches, it takes 2 to 3 times that."""
    key, zone = comparators.SECRET_KEY, zoneinfo.ZoneInfo("Australia/Sydney")
    credentials, nonces = Credentials(comparators.M_NUMBER, key), TaggedNonces([key])
    converter = conversion.ModelConverter(zone)
    asked = RequestContext(endpoints.QUERY_ORDER, {"order_no": comparators.ORDER_NO}, [key])
    received = Received(200, json.dumps(dict(server.ORDER)).encode())
    session = comparators.session("http://127.0.0.1:9")
    body = notification()
    calls = effort.of(2_000, 200)
    rows = [
        Row("sign a request (nonce, signature, query)", _us(lambda: credentials.sign(1, nonces()), calls), "us"),
        Row("verify and read a notification", _us(lambda: session.parse_notification(body, max_age=None), calls), "us"),
        Row("decode a QueryOrder reply", _us(lambda: decoding.decode(asked, received, converter), calls), "us"),
    ]
    await session.aclose()
    return rows


def notification() -> bytes:
    """The body of a notification, correctly signed."""
    timestamp, nonce = "1540426523000", "313644f42ecd4758b5e23b80e86efdc4"
    sign = signature(comparators.M_NUMBER, timestamp, nonce, comparators.SECRET_KEY)
    order = {**server.ORDER, "order_no": comparators.ORDER_NO, "total_amount": 450, "cny_amount": 2156}
    return json.dumps({**order, "timestamp": timestamp, "nonce_str": nonce, "sign": sign}).encode()


def _us(step: Callable[[], object], calls: int) -> float:
    # The fastest of the repeats, because other work of the machine only adds time.
    return min(timeit.repeat(step, number=calls, repeat=15)) / calls * 1e6
