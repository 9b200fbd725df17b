"""Faults on demand: whether the gateway acted, and what the caller sees."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import random
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from omipay_async import Language
from omipay_async.sandbox import NOT_ACTED, PAYMENT_CODES, Fault, Faults, PaymentCode, Sandbox
from omipay_async.sandbox.asgi import ConnectionDropped
from omipay_async.sandbox.faults import FAULTS
from tests.support.untyped import untyped

from .raw import WANTED, RawClient

if TYPE_CHECKING:
    from omipay_async.testing import ManualClock

OF_CALLS = [fault for fault in Fault if not fault.is_of_notifications]


@pytest.mark.parametrize("fault", OF_CALLS)
async def test_side_of_the_act(raw: RawClient, sandbox: Sandbox, clock: ManualClock, fault: Fault) -> None:
    """The gateway acted or did not act as the fault's name says, and so does the ledger."""
    sandbox.faults.add(fault, endpoint="MakeScanOrder", times=1, seconds=60 if fault is Fault.SKEWED_CLOCK else 0)
    with contextlib.suppress(ConnectionDropped, ValueError, AssertionError):
        await raw.ask("MakeScanOrder", out_order_no="T-1")
    assert sandbox.ledger.acted("T-1") == (0 if fault in NOT_ACTED else 1)
    call = sandbox.ledger.calls[-1]
    assert (call.acted, call.faults, call.fields["out_order_no"]) == (fault not in NOT_ACTED, (fault,), "T-1")


@pytest.mark.parametrize("fault", [Fault.DROP_REQUEST, Fault.DROP_REPLY])
async def test_dropped_connection(raw: RawClient, sandbox: Sandbox, clock: ManualClock, fault: Fault) -> None:
    """Through the sandbox's own transport a dropped connection is httpx.ReadError, whichever side it was dropped on."""
    sandbox.faults.add(fault, times=1)
    async with httpx.AsyncClient(transport=sandbox.transport(), base_url=sandbox.base_url) as http:
        fields = {**raw.signature(), **WANTED["GetExchangeRate"]}
        with pytest.raises(httpx.ReadError):
            await http.get("/v2/GetExchangeRate", params=fields)
        assert (await http.get("/v2/GetExchangeRate", params=fields)).json()["return_code"] == "SUCCESS"


async def test_dropped_request_that_makes_no_sense(raw: RawClient, sandbox: Sandbox) -> None:
    """A request is in the ledger even if its query string cannot be read."""
    sandbox.faults.add(Fault.DROP_REQUEST)
    with pytest.raises(ConnectionDropped):
        await raw.http.get("/omipay/api/v2/QueryOrder?a=%ff")
    assert sandbox.ledger.calls[-1].fields == {}


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        (Fault.BAD_GATEWAY, 502, b"502 Bad Gateway"),
        (Fault.BAD_GATEWAY_ACTED, 502, b"502 Bad Gateway"),
        (Fault.GARBAGE, 200, b"<!--"),
        (Fault.CUT_OFF, 200, b'{"return_code": "SUCCESS"'),
        (Fault.EMPTY, 200, b""),
    ],
)
async def test_bodies_that_are_not_json(
    raw: RawClient, sandbox: Sandbox, fault: Fault, status: int, body: bytes
) -> None:
    """None of these bodies is JSON."""
    sandbox.faults.add(fault)
    response = await raw.send("GetExchangeRate", **WANTED["GetExchangeRate"])
    assert response.status_code == status
    assert body in response.content
    with pytest.raises(ValueError):  # noqa: PT011 - JSON and UTF-8 errors alike
        json.loads(response.content)


async def test_system_error_after_the_act(raw: RawClient, sandbox: Sandbox) -> None:
    """SYSTEM_ERROR says nothing of the money."""
    sandbox.faults.add(Fault.SYSTEM_ERROR_ACTED)
    assert (await raw.ask("MakeScanOrder"))["error_code"] == "SYSTEM_ERROR"
    assert sandbox.ledger.paid_total() == 100


@pytest.mark.parametrize(("fault", "paid"), [(Fault.DELAY, 0), (Fault.DELAY_REPLY, 100)])
async def test_a_slow_gateway_is_slow_before_or_after_it_acts(
    raw: RawClient, sandbox: Sandbox, clock: ManualClock, fault: Fault, paid: int
) -> None:
    """A slow gateway is slow before it acts, or after."""
    sandbox.faults.add(fault)
    task = asyncio.create_task(raw.ask("MakeScanOrder"))
    await clock.advance(0)
    await clock.advance(4.9)
    assert (task.done(), sandbox.ledger.paid_total()) == (False, paid)
    await clock.advance(0.1)
    assert (await task)["return_code"] == "SUCCESS"


def hits(faults: Faults, calls: int = 100) -> int:
    return sum(bool(faults.of_call("QueryOrder")) for _ in range(calls))


def test_a_fault_applies_so_often_and_to_its_endpoint_only() -> None:
    """A fault applies to so many calls, and only of the endpoint that is named; its rule counts them."""
    faults = Faults(random.Random(1))
    rule = faults.add("EMPTY", endpoint="QueryOrder", times=3)
    assert faults.of_call("Refund") == {}
    assert hits(faults) == rule.hits == 3


def test_two_rules_for_one_fault_are_used_up_one_after_the_other() -> None:
    """Of several rules that apply, the newest is applied, and only this one counts the call."""
    faults = Faults(random.Random(1))
    older = faults.add(Fault.DELAY, times=1, seconds=5)
    newer = faults.add(Fault.DELAY, times=1, seconds=2)
    assert [faults.of_call("QueryOrder").get(Fault.DELAY) for _ in range(3)] == [newer, older, None]
    assert (older.hits, newer.hits) == (1, 1)


def test_probability_is_seeded() -> None:
    """A fault with a probability applies to about so many calls, and with the same seed to the same ones."""
    counts = []
    for _ in range(2):
        faults = Faults(random.Random(1))
        faults.add(Fault.EMPTY, probability=0.1)
        counts.append(hits(faults, 1000))
    assert counts[0] == counts[1]
    assert 50 < counts[0] < 150


def test_removing_faults() -> None:
    """Rules can be removed one by one, or all of them."""
    faults = Faults(random.Random(1))
    rule = faults.add(Fault.EMPTY)
    faults.add(Fault.GARBAGE)
    faults.remove(rule)
    assert list(faults.of_call("Refund")) == ["GARBAGE"]
    faults.clear()
    assert hits(faults) == 0


def test_unknown_faults_and_endpoints() -> None:
    """A misspelt name of a fault or an endpoint is an error at once, so that no test passes without its fault."""
    faults = Faults(random.Random(1))
    with pytest.raises(ValueError, match="NO_SUCH"):
        faults.add("NO_SUCH")
    with pytest.raises(ValueError, match=r"there is no MakeQRCode; it is one of .*, MakeQROrder, .*"):
        faults.add(Fault.EMPTY, endpoint="MakeQRCode")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("times", value) for value in (-1, "2", 1.0, True)],
        *[("probability", value) for value in (-0.1, 1.1, "1", math.nan)],
        *[("seconds", value) for value in (-1, "5", math.inf, 10**400)],
    ],
)
def test_numbers_with_which_a_fault_could_not_apply(name: str, value: Any) -> None:
    """They are an error at once, so that no test passes without its fault."""
    faults = Faults(random.Random(1))
    with pytest.raises(ValueError, match=f"{name} must be"):
        faults.add(Fault.DELAY, **{name: value})
    assert faults.rules == []
    limits: dict[str, float] = {"times": 0, "probability": 1, "seconds": 0}
    faults.add(Fault.DELAY, **{name: untyped(limits[name])})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("m_number", ""),
        ("m_number", 123456),
        ("secret_key", ""),
        ("secret_key", None),
        ("notify_delay", -1),
        ("notify_delay", 10**400),
        ("notify_interval", "5"),
        ("app", "shop:app"),
    ],
)
def test_arguments_of_a_sandbox_are_checked(name: str, value: Any) -> None:
    """The error names the argument, and does not show it."""
    with pytest.raises(ValueError, match=f"{name} must be"):
        Sandbox(**{name: value})


def test_what_is_given_to_a_sandbox_later_is_checked_too(sandbox: Sandbox) -> None:
    """Its app, and the host on which it is served: the empty one would stand for all, and make a URL without a host."""
    with pytest.raises(ValueError, match="app must be"):
        sandbox.app = untyped("shop:app")
    assert sandbox.app is None
    with pytest.raises(ValueError, match="host must be"):
        sandbox.serve("")


def test_a_further_merchant_is_checked(sandbox: Sandbox) -> None:
    """Its number and its key are checked like those of the first."""
    with pytest.raises(ValueError, match="secret_key must be"):
        sandbox.add_merchant("654321", "")


async def test_success_may_contradict_return_code(raw: RawClient, sandbox: Sandbox) -> None:
    """``success`` is the opposite of ``return_code``, in a success and in a failure."""
    sandbox.faults.add(Fault.CONTRADICTION)
    good = await raw.ask("MakeScanOrder")
    bad = await raw.ask("QueryOrder", order_no="TR0")
    assert [(reply["return_code"], reply["success"]) for reply in (good, bad)] == [("SUCCESS", False), ("FAIL", True)]


async def test_duplicate_keys(raw: RawClient, sandbox: Sandbox) -> None:
    """The reply has ``return_code`` twice, with both of its values."""
    sandbox.faults.add(Fault.DUPLICATE_KEYS)
    for name, fields in (("GetExchangeRate", {}), ("QueryOrder", {"order_no": "TR0"})):
        response = await raw.send(name, **{**WANTED[name], **fields})
        pairs = json.loads(response.content, object_pairs_hook=list)
        assert sorted(value for key, value in pairs if key == "return_code") == ["FAIL", "SUCCESS"]


async def test_swapped_replies(raw: RawClient, sandbox: Sandbox, clock: ManualClock) -> None:
    """Two calls get each other's reply; the third, which has no partner, gets its own after some seconds."""
    sandbox.faults.add(Fault.SWAPPED_REPLIES, endpoint="MakeScanOrder", seconds=5)
    first, second = await asyncio.gather(*(raw.ask("MakeScanOrder", out_order_no=number) for number in ("A", "B")))
    assert (first["out_order_no"], second["out_order_no"]) == ("B", "A")
    alone = asyncio.create_task(raw.ask("MakeScanOrder", out_order_no="C"))
    await clock.advance(0)
    assert not alone.done()
    await clock.advance(5)
    assert (await alone)["out_order_no"] == "C"


async def test_surplus_reply(raw: RawClient, sandbox: Sandbox) -> None:
    """On a socket a second reply follows the first one, without a request; in memory it does not."""
    sandbox.faults.add(Fault.SURPLUS_REPLY, times=2)
    await raw.ask("GetExchangeRate")
    fields = {**raw.signature(), **WANTED["GetExchangeRate"]}
    async with sandbox.serve() as url:
        host, port = url.split("/")[2].split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        target = httpx.URL(f"{url}/v2/GetExchangeRate", params=fields).raw_path.decode()
        writer.write(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        received = await reader.read(-1)
        writer.close()
        await writer.wait_closed()
    first, second = received.split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert (b'"SUCCESS"' in first, b"SIGN_TIMEOUT" in second) == (True, True)


def test_every_fault_and_payment_code_is_described() -> None:
    """The dashboard and the guide show a sentence for each, and the pages in Chinese a Chinese one."""
    assert list(FAULTS) == list(Fault)
    assert list(PAYMENT_CODES) == list(PaymentCode)
    descriptions = [facts.description for facts in FAULTS.values()]
    descriptions += [behaviour.description for behaviour in PAYMENT_CODES.values()]
    assert [member.description for member in (*Fault, *PaymentCode)] == [each.english for each in descriptions]
    for description in descriptions:
        english, chinese = description.in_language(Language.EN), description.in_language(Language.CHS)
        assert (english.isascii(), english[-1], chinese.isascii(), chinese[-1]) == (True, ".", False, "。")
