"""What it costs a program to begin: CPU time of an import in a fresh interpreter, whose own start is not counted.

All modules come from a cache of bytecode, as on a machine where they were installed and used before.
"""

from __future__ import annotations

import importlib.util
import tempfile
from typing import TYPE_CHECKING, Final

from .measure import in_turn, printed_by
from .report import Row, Target

if TYPE_CHECKING:
    from .measure import Block, Effort

_HTTPX: Final = "import httpx"
_SESSION: Final = "from omipay_async import AsyncOmipay"
_PACKAGE: Final = "import omipay_async"
_FLOOR: Final = "import asyncio, httpx, attrs, cattrs"
_OPENAI: Final = "from openai import AsyncOpenAI"


async def times(effort: Effort) -> list[Row]:
    """The import that a program needs, and the one that is all lazy."""
    statements = [_HTTPX, _SESSION, _PACKAGE, _FLOOR]
    if importlib.util.find_spec("openai") is not None and not effort.quick:
        statements.append(_OPENAI)
    with tempfile.TemporaryDirectory() as cache:
        blocks = {statement: _block(statement, cache) for statement in statements}
        await in_turn(blocks, 1)  # fills the cache
        figures = await in_turn(blocks, effort.of(21, 1))
    note = f"asyncio, httpx, attrs and cattrs alone are {figures.ratio(_FLOOR, _HTTPX):.2f}; httpx loads no asyncio."
    if _OPENAI in figures.of:
        note += f" openai-python is {figures.ratio(_OPENAI, _HTTPX):.1f}."
    lazy = "It loads nothing yet: the names do, when first used. The row above is what a program pays."
    target = Target(1.30)
    return [
        Row(f"{_SESSION} / {_HTTPX}", figures.ratio(_SESSION, _HTTPX), "x", target, figures.medians(), "ms", note),
        Row(f"{_PACKAGE} / {_HTTPX}", figures.ratio(_PACKAGE, _HTTPX), "x", target, note=lazy),
    ]


def _block(statement: str, cache: str) -> Block:
    program = f"import time; began = time.process_time(); {statement}; print((time.process_time() - began) * 1000)"

    async def block() -> float:
        return float(await printed_by("-c", program, PYTHONPYCACHEPREFIX=cache, PYTHONDONTWRITEBYTECODE=""))

    return block
