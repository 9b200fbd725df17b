"""Each bound that "Memory" in the guide to operations names is that of the code, and some test shows that it holds."""

from __future__ import annotations

import ast
import encodings
import json
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest

import omipay_async
from omipay_async import AsyncOmipay, MemoryBackend, OmipayError, Order, RetryPolicy
from omipay_async.fulfilment import backends, confirmations, guard, leases, receiver
from omipay_async.protocol import notifications, reply
from omipay_async.redis import clients
from omipay_async.sandbox import Sandbox, ledger, live, validation
from omipay_async.sandbox.access import MAX_BODY_BYTES
from omipay_async.sandbox.web import dashboard
from omipay_async.sql import sweeping
from omipay_async.text import LONGEST_EXCERPT
from omipay_async.transport import exchange, pool

from .support.markdown import DOCS, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

# The beginning of each row of the table; the numbers that it must name, from the code; a test that shows the bound.
ROWS: Final[dict[str, tuple[tuple[float, ...], str]]] = {
    "the body of a notification": (
        (notifications.LARGEST_BODY / 1024,),
        "test_asgi.py::test_the_bytes_that_are_read_are_limited",
    ),
    "notifications that wait": (
        (confirmations.MOST_WAITING,),
        "fulfilment/test_confirmations.py::test_when_too_many_bodies_wait_the_last_of_the_longest_queue_is_refused",
    ),
    "deliveries that wait": (
        (guard._MOST_WAITING,),
        "fulfilment/test_guard.py::test_only_so_many_callers_wait_for_one_handler",
    ),
    "what else a session keeps": (
        (),
        "test_bounds.py::test_a_session_keeps_nothing_of_the_notifications_of_strangers",
    ),
    "confirmed signatures": (
        (receiver._MOST_SIGNATURES,),
        "fulfilment/test_confirmations.py::test_only_so_many_confirmed_signatures_are_remembered",
    ),
    "confirmed orders": (
        (backends.NOTES_KEPT_S / 60,),
        "fulfilment/test_backends.py::test_a_note_is_remembered_for_ten_minutes_at_least_and_then_forgotten",
    ),
    "claims whose result": (
        (leases._MOST_KEYS, leases._MOST_OWNERS),
        "fulfilment/test_unsettled.py::test_only_so_many_unanswered_owners_are_remembered",
    ),
    "`MemoryBackend`": (
        (backends.DEFAULT_KEEP.days,),
        "test_growth.py::test_a_memory_backend_forgets_what_is_older_than_keep",
    ),
    "`RedisBackend`": (
        (clients._CONNECTIONS,),
        "fulfilment/test_redis.py::test_leases_and_records_expire_by_themselves",
    ),
    "books": (
        (sweeping._MOST_SWEEPS, 2 * sweeping._WORKERS),
        "sql/test_worker.py::test_a_worker_whose_handlers_all_hang_does_not_grow",
    ),
    "a reply": (
        (reply.LARGEST_REPLY / 2**20, exchange._LONGEST_HEAD / 1024),
        "transport/test_network.py::test_no_more_than_a_mebibyte_is_read",
    ),
    "messages, log records": (
        (LONGEST_EXCERPT,),
        "test_growth.py::test_what_is_said_of_a_huge_reply_or_body_is_short",
    ),
    "connections": (
        (pool._KEEPALIVE_S,),
        "transport/test_client_connections.py::test_a_connection_that_was_idle_for_long_is_given_up",
    ),
    "calls that wait": ((), "polling/test_leftovers.py::test_cancelled_polls_leave_nothing"),
    "transports of `omipay.http`": (
        (),
        "transport/test_client_connections.py::test_the_client_of_the_session_makes_few_transports",
    ),
    "caches of TLS contexts": ((8, 64, 64), "test_growth.py::test_every_cache_has_a_bound"),
    "caches of Python itself": ((), "test_growth.py::test_nothing_that_is_sent_gets_into_the_caches_of_python"),
    "a session that was closed": ((), "test_bounds.py::test_sessions_that_were_closed_leave_nothing_behind"),
    "the sandbox's records": (
        (ledger.KEPT_OF_STRANGERS, 2 * ledger.KEPT_OF_STRANGERS),
        "sandbox/test_access.py::test_only_so_many_calls_of_strangers_are_kept",
    ),
    "the sandbox's orders": (
        (validation._MOST_FIELDS, validation._LONGEST_VALUE),
        "test_growth.py::test_a_record_of_the_sandbox_is_short",
    ),
    "the sandbox's open pages": (
        (live.MOST_STREAMS, dashboard._STREAM_LASTS_S, MAX_BODY_BYTES / 1024, 2000),
        "test_growth.py::test_a_stream_of_events_ends_by_itself",
    ),
}
SOURCES: Final = sorted(Path(omipay_async.__file__).parent.rglob("*.py"))
KEY: Final = "0af61531c6c04ac4ac910d0cd59e6238"


def rows() -> list[str]:
    """The table's rows, without its head."""
    page = (DOCS / "operations.md").read_text(encoding="utf-8")
    section = page.partition("\n## Memory\n")[2].partition("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("| ")][2:]


def test_every_row_is_known_and_names_the_bounds_of_the_code() -> None:
    """A bound that changes in the code changes in the guide."""
    found = rows()
    assert len(found) == len(ROWS)
    for row, (beginning, (bounds, _)) in zip(found, ROWS.items(), strict=True):
        assert row.startswith(f"| {beginning}")
        named = [float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", row.rpartition("|")[0])]
        named = [number for number in named if number not in {413, 503}]
        assert [float(bound) for bound in bounds] == named[: len(bounds)], row


@pytest.mark.parametrize("test", [test for _, test in ROWS.values()])
def test_some_test_shows_each_bound(test: str) -> None:
    """It exists under this name."""
    file, _, name = test.partition("::")
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name in functions


# -- caches -----------------------------------------------------------------------------------------------------------


def decorated() -> Iterator[tuple[str, ast.FunctionDef, ast.expr]]:
    """Each function that remembers its results, with its decorator and its file."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for decorator in getattr(node, "decorator_list", ()):
                if isinstance(node, ast.FunctionDef) and "cache" in ast.unparse(decorator):
                    yield path.name, node, decorator


def test_every_cache_has_a_bound() -> None:
    """Or belongs to a function without parameters, so that it remembers one result."""
    sizes = {}
    for file, function, decorator in decorated():
        words = ast.unparse(decorator)
        if function.args.args:
            found = re.fullmatch(r"functools\.lru_cache\(maxsize=(\d+)\)", words)
            assert found, f"{file}: {function.name}"
            sizes[function.name] = int(found[1])
    assert sizes == {"_shared": 8, "to_url": 64, "after_target": 64, "_headers": 64}


def test_no_pattern_is_made_of_what_somebody_sends() -> None:
    """Python remembers 512 patterns: functions use constant ones."""
    for path in SOURCES:
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("re."):
                    pattern = node.args[0]
                    is_constant = isinstance(pattern, ast.Constant) or ast.unparse(pattern).isupper()
                    assert is_constant, f"{path.name}: {ast.unparse(node)}"


def cached() -> list[int]:
    """How many regular expressions and codecs CPython remembers."""
    return [len(vars(module)["_cache"]) for module in (re, encodings)]


async def test_nothing_that_is_sent_gets_into_the_caches_of_python() -> None:
    """A hundred replies and notifications in a hundred codecs that nobody knows, with other texts in each."""
    counts = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal counts
        counts += 1
        kind = {"Content-Type": f'text/x{counts}; charset="no{counts}"', "Content-Encoding": f"no{counts}"}
        return httpx.Response(200, content=b'{"return_code": "FAIL", "error_code": "\xe9%d"}' % counts, headers=kind)

    options: dict[str, Any] = {"base_url": "http://gateway.test/omipay/api", "retry": RetryPolicy(attempts=1)}
    async with AsyncOmipay("000034", KEY, transport=httpx.MockTransport(answer), **options) as omipay:

        async def say(number: int) -> None:
            with pytest.raises(OmipayError):
                await omipay.query_order(f"TR{number}")
            await omipay.receive_notification(b'{"timestamp": "%d", "sign": "[%d"}' % (number, number), never)
            with pytest.raises(OmipayError):
                omipay.parse_wechat_login(f"error_code=X{number}&charset=no{number}")

        re.purge()  # or it may be full
        await say(0)
        before = cached()
        for number in range(1, 100):
            await say(number)
    assert counts == 100
    assert cached() == before


async def never(order: Order) -> None:
    raise AssertionError(order.order_no)


# -- backends ---------------------------------------------------------------------------------------------------------


async def test_a_memory_backend_forgets_what_is_older_than_keep() -> None:
    """Of a year of ten paid orders a day it holds those of the last 30 days."""
    from omipay_async.testing import ManualClock

    clock = ManualClock()
    backend = MemoryBackend(clock=clock)
    for number in range(3650):
        await backend.claim(f"000034:TR{number}", "me")
        assert await backend.finish(f"000034:TR{number}", "me")
        await clock.advance(86_400 / 10)
    assert repr(backend) in {f"<MemoryBackend: 0 held, {count} done>" for count in (299, 300, 301)}


# -- what is said -----------------------------------------------------------------------------------------------------

HUGE: Final = "长" * 300_000
HUGE_REPLIES: Final[list[Any]] = [
    {"return_code": "FAIL", "error_code": HUGE, "error_msg": HUGE, "order_no": HUGE},
    {"return_code": "SUCCESS", "order_no": HUGE, "result_code": HUGE, "currency": HUGE, "amount": HUGE},
    {"return_code": HUGE},
    {HUGE: HUGE},
    {"return_code": "SUCCESS", "out_order_no": HUGE},
    HUGE,
]


@pytest.mark.parametrize("reply", HUGE_REPLIES, ids=range(len(HUGE_REPLIES)))
@pytest.mark.parametrize("status", [200, 302, 500])
async def test_what_is_said_of_a_huge_reply_or_body_is_short(
    caplog: pytest.LogCaptureFixture, reply: Any, status: int
) -> None:
    """Errors, log records and events: a few KiB, whatever a megabyte of text says."""
    caplog.set_level(logging.DEBUG)
    content = json.dumps(reply, ensure_ascii=False).encode() if isinstance(reply, dict) else reply.encode()
    said: list[str] = []
    transport = httpx.MockTransport(lambda _: httpx.Response(status, content=content, headers={"Location": "/" * 9999}))
    options: dict[str, Any] = {"base_url": "http://gateway.test/omipay/api", "retry": RetryPolicy(attempts=1)}
    options["on_event"] = lambda event: said.append(str(event))
    async with AsyncOmipay("000034", KEY, transport=transport, **options) as omipay:
        for call in (
            omipay.query_order("TR1"),
            omipay.refund(order_no="TR1", out_refund_no="R1", amount=1),
            omipay.make_scan_order(
                order_name="Tea", amount=1, currency="AUD", out_order_no="A1", qrcode="280", pos_no="till"
            ),
            omipay.call("Unknown", {}),
            omipay.poll_until_paid("TR2", first_wait=0, timeout=0.01),
        ):
            try:
                await call
            except OmipayError as error:
                said += [str(error), repr(error), getattr(error, "excerpt", "")]
        answered = await omipay.receive_notification(content[:60_000], never)
        said.append(answered.body.decode())
    records = [record.getMessage() + str(record.__dict__.get("omipay_order_no")) for record in caplog.records]
    assert max(map(len, [*said, *records])) < 4096
    assert len(records) < 100


# -- the sandbox ------------------------------------------------------------------------------------------------------


async def test_a_record_of_the_sandbox_is_short() -> None:
    """Whatever a merchant sends to it."""
    async with Sandbox() as sandbox, httpx.AsyncClient(transport=httpx.ASGITransport(sandbox)) as http:
        fields = {f"field{number}{'n' * 200}": "v" * 3000 for number in range(15)} | {"order_name": "x" * 10_000}
        await http.get("http://localhost/omipay/api/v2/QueryOrder", params=fields)
        (call,) = sandbox.ledger.calls
    assert len(call.fields) <= validation._MOST_FIELDS
    assert max(map(len, call.fields)) <= validation._LONGEST_NAME
    assert max(map(len, call.fields.values())) <= validation._LONGEST_VALUE
    assert len("".join(call.remarks)) < 2000


async def test_a_stream_of_events_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser that is gone, or never asks for more, holds nothing for long."""
    monkeypatch.setattr(dashboard, "_STREAM_LASTS_S", 0.15)
    async with Sandbox() as sandbox, httpx.AsyncClient(transport=httpx.ASGITransport(sandbox)) as http:
        assert "data: opened" in (await http.get("http://localhost/events")).text
        assert not sandbox.live.is_full
        assert not sandbox.live._open
