"""What it costs a program to start: CPU time in a new interpreter, without the interpreter's own start.

All modules come from a cache of bytecode, as on a machine where they were used before. The programs are texts, so they
do not import what this module imports.
"""

from __future__ import annotations

import importlib.util
import tempfile
from typing import TYPE_CHECKING, Final

from . import comparators, server
from .measure import in_turn, printed_by
from .report import Row, Target

if TYPE_CHECKING:
    from .measure import Block, Effort

_HTTPX: Final = "import httpx"
_SESSION: Final = "from omipay_async import AsyncOmipay"
_PACKAGE: Final = "import omipay_async"
_FLOOR: Final = "import asyncio, httpx, attrs, cattrs"
_OPENAI: Final = "from openai import AsyncOpenAI"

_BY_HAND: Final = """
import asyncio, hashlib, secrets, time
import httpx
async def main(server, root, m_number, key, order_no):
    timestamp, nonce = str(int(time.time() * 1000)), secrets.token_hex(16)
    sign = hashlib.md5(f"{m_number}&{timestamp}&{nonce}&{key}".encode()).hexdigest().upper()
    params = {"m_number": m_number, "timestamp": timestamp, "nonce_str": nonce, "sign": sign, "order_no": order_no}
    async with httpx.AsyncClient() as client:
        (await client.get(f"{server}{root}/v2/QueryOrder", params=params)).json()
"""
_WITH_OURS: Final = """
import asyncio
from omipay_async import AsyncOmipay
async def main(server, root, m_number, key, order_no):
    async with AsyncOmipay(m_number, key, base_url=server + root) as omipay:
        await omipay.query_order(order_no)
"""


async def times(effort: Effort) -> list[Row]:
    """The import that a program needs, and the one that loads everything lazily."""
    statements = [_HTTPX, _SESSION, _PACKAGE, _FLOOR]
    if importlib.util.find_spec("openai") is not None and not effort.quick:
        statements.append(_OPENAI)
    with tempfile.TemporaryDirectory() as cache:
        blocks = {statement: _block(statement, cache) for statement in statements}
        await in_turn(blocks, 1)  # fills the cache
        figures = await in_turn(blocks, effort.of(21, 1))
    note = (
        "The first session that is made loads the rest: see the first answer. "
        f"asyncio, httpx, attrs and cattrs together are {figures.ratio(_FLOOR, _HTTPX):.2f}."
    )
    if _OPENAI in figures.of:
        note += f" openai-python is {figures.ratio(_OPENAI, _HTTPX):.1f}."
    lazy = "It loads nothing yet: the names do, when first used."
    target = Target(1.50)
    return [
        Row(f"{_SESSION} / {_HTTPX}", figures.ratio(_SESSION, _HTTPX), "x", target, figures.medians(), "ms", note),
        Row(f"{_PACKAGE} / {_HTTPX}", figures.ratio(_PACKAGE, _HTTPX), "x", target, note=lazy),
    ]


async def first_answer(effort: Effort) -> list[Row]:
    """A program that imports what it needs, queries one order, and ends."""
    with tempfile.TemporaryDirectory() as cache, server.running() as url:
        call = (
            f"asyncio.run(main{(url, server.ROOT, comparators.M_NUMBER, comparators.SECRET_KEY, comparators.ORDER_NO)})"
        )
        blocks = {"by hand": _block(_BY_HAND + call, cache), "omipay_async": _block(_WITH_OURS + call, cache)}
        await in_turn(blocks, 1)  # fills the cache
        figures = await in_turn(blocks, effort.of(21, 1))
    what = "a fresh process to its first answer / hand-written httpx"
    ratio = figures.ratio("omipay_async", "by hand")
    return [Row(what, ratio, target=Target(1.15), sides=figures.medians(), sides_unit="ms")]


def _block(statements: str, cache: str) -> Block:
    program = f"import time\nbegan = time.process_time()\n{statements}\nprint((time.process_time() - began) * 1000)"

    async def block() -> float:
        return float(await printed_by("-c", program, PYTHONPYCACHEPREFIX=cache, PYTHONDONTWRITEBYTECODE=""))

    return block
