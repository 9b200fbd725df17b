"""What it costs a program to start: CPU time in a new interpreter, without the interpreter's own start.

All modules come from a cache of bytecode, as on a machine where they were used before. The programs are texts, so they
do not import what this module imports. They find this package and what it needs, and nothing else that is installed:
httpx imports more where it finds more.
"""

from __future__ import annotations

import contextlib
import importlib.util
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import certifi
import trustme

from . import comparators, server
from .measure import in_turn, printed_by
from .report import Row, Target

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .measure import Block, Effort

_NEEDED: Final = (
    "omipay_async",
    *("httpx", "httpcore", "h11", "anyio", "sniffio", "idna", "certifi"),
    *("attr", "attrs", "cattrs", "typing_extensions"),
)
_HTTPX: Final = "import httpx"
_SESSION: Final = "from omipay_async import AsyncOmipay"
_PACKAGE: Final = "import omipay_async"
_FLOOR: Final = "import asyncio, httpx, attrs, cattrs"

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
    with _nothing_else_installed() as environment:
        blocks = {statement: _block(statement, environment) for statement in statements}
        await in_turn(blocks, 1)  # fills the cache
        figures = await in_turn(blocks, effort.of(21, 1))
    note = (
        "The first session that is made loads the rest: see the first answer. "
        f"asyncio, httpx, attrs and cattrs together are {figures.ratio(_FLOOR, _HTTPX):.2f}."
    )
    lazy = "It loads nothing yet: the names do, when first used."
    target = Target(1.50)
    return [
        Row(f"{_SESSION} / {_HTTPX}", figures.ratio(_SESSION, _HTTPX), "x", target, figures.medians(), "ms", note),
        Row(f"{_PACKAGE} / {_HTTPX}", figures.ratio(_PACKAGE, _HTTPX), "x", target, note=lazy),
    ]


async def first_answer(effort: Effort) -> list[Row]:
    """A program that imports what it needs, queries one order, and ends."""
    authority = trustme.CA()
    with (
        _nothing_else_installed() as environment,
        _trusted(authority) as trusted,
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.tempfile() as certificate,
        server.running() as plain,
        server.running(certificate=Path(certificate)) as secure,
    ):
        trusting = {**environment, "SSL_CERT_FILE": trusted}
        what = "a fresh process to its first answer / hand-written httpx"
        return [
            await _first_answer(effort, what, plain, trusting),
            await _first_answer(effort, f"{what}, under TLS", secure, trusting),
        ]


@contextlib.contextmanager
def _trusted(authority: trustme.CA) -> Iterator[str]:
    """The path of as many certificates as a program usually trusts, and of the ``authority``'s."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(Path(certifi.where()).read_bytes() + authority.cert_pem.bytes())
        file.flush()
        yield file.name


async def _first_answer(effort: Effort, what: str, url: str, environment: Mapping[str, str]) -> Row:
    call = f"asyncio.run(main{(url, server.ROOT, comparators.M_NUMBER, comparators.SECRET_KEY, comparators.ORDER_NO)})"
    programs = {"by hand": _BY_HAND, "omipay_async": _WITH_OURS}
    blocks = {side: _block(program + call, environment) for side, program in programs.items()}
    await in_turn(blocks, 1)  # fills the cache
    figures = await in_turn(blocks, effort.of(21, 1))
    ratio = figures.ratio("omipay_async", "by hand")
    return Row(what, ratio, target=Target(1.15), sides=figures.medians(), sides_unit="ms")


@contextlib.contextmanager
def _nothing_else_installed() -> Iterator[Mapping[str, str]]:
    """The environment of programs that find only this package and what it needs, and a cache of bytecode."""
    with tempfile.TemporaryDirectory() as packages, tempfile.TemporaryDirectory() as cache:
        for name in _NEEDED:
            spec = importlib.util.find_spec(name)
            if spec is None or spec.origin is None:
                continue  # other versions of anyio need other packages
            found = Path(spec.origin)
            found = found.parent if spec.submodule_search_locations else found
            Path(packages, found.name).symlink_to(found)
        yield {"PYTHONPATH": packages, "PYTHONPYCACHEPREFIX": cache, "PYTHONDONTWRITEBYTECODE": ""}


def _block(statements: str, environment: Mapping[str, str]) -> Block:
    program = f"import time\nbegan = time.process_time()\n{statements}\nprint((time.process_time() - began) * 1000)"

    async def block() -> float:
        return float(await printed_by("-PS", "-c", program, **environment))  # without what else is installed

    return block
