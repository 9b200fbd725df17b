"""Arguments count by their content, whatever their class prints or compares."""

from __future__ import annotations

import enum
from decimal import Decimal
from typing import Any
from unittest.mock import Mock

import certifi
import pytest

from omipay_async import (
    AsyncOmipay,
    ConfigurationError,
    Event,
    InvalidRequest,
    MemoryBackend,
    OutcomeUnknown,
    PollTimeout,
    RetryPolicy,
    from_minor,
    to_minor,
)
from omipay_async.protocol.context import RequestContext
from omipay_async.protocol.endpoints import ENDPOINTS
from omipay_async.transport.tls import checked_verify, ssl_context
from tests.support.canned_gateway import ORDER, Gateway, open_session, success
from tests.support.raw_http import Handler
from tests.support.untyped import untyped


class Price(int, enum.Enum):
    """An int that formats as the name of a member."""

    FLAT_WHITE = 450


class Liar(int):
    """A number that prints and compares as another one."""

    def __format__(self, _: str) -> str:
        return "1"

    def __str__(self) -> str:
        return "2"

    def __int__(self) -> int:
        return 3

    def __ge__(self, _: object) -> bool:
        return True

    __le__ = __lt__ = __gt__ = __ge__


class Unhashable(str):
    """A string that cannot be hashed."""

    __slots__ = ()
    __hash__ = untyped(None)


class Other(str):
    """A string that is equal to none."""

    __slots__ = ()

    def __eq__(self, _: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 0


class Mute:
    """A mix-in whose special methods all raise."""

    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":
            return type(self)
        raise AssertionError(name)

    def refuse(self, *_: object) -> Any:
        raise AssertionError

    __str__ = __repr__ = __format__ = __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __hash__ = refuse
    __len__ = __iter__ = __contains__ = __getitem__ = __bool__ = __int__ = __float__ = __index__ = __neg__ = refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __mod__ = refuse


class MuteStr(Mute, str):
    """A string of that kind."""

    __slots__ = ()


class MuteInt(Mute, int):
    """A number of that kind."""


class MuteFloat(Mute, float):
    """A float of that kind, for seconds."""


class MuteDecimal(Mute, Decimal):
    """A Decimal of that kind, for an amount."""


@pytest.mark.parametrize("amount", [Price.FLAT_WHITE, Liar(450)])
async def test_an_amount_is_sent_as_the_number_that_it_is(amount: int) -> None:
    """By the methods and by ``call``. The order has a plain int."""
    gateway = Gateway(success("MakeQROrder"))
    async with open_session(gateway) as omipay:
        order = await omipay.make_qr_order(**{**ORDER, "amount": amount}, platform="ALIPAY")
        assert "amount=450" in gateway.pairs
        assert (type(order.amount), order.amount) == (int, 450)
        await omipay.call("ConfirmCheckOut", {"amount": amount})
        assert "amount=450" in gateway.pairs


async def test_an_amount_below_the_least_is_rejected_whatever_it_prints() -> None:
    """Nothing is sent."""
    gateway = Gateway(success("MakeQROrder"))
    async with open_session(gateway) as omipay:
        with pytest.raises(InvalidRequest, match=r"^amount must be at least 1"):
            await omipay.make_qr_order(**{**ORDER, "amount": Liar(-5)}, platform="ALIPAY")
    assert not gateway.requests


@pytest.mark.parametrize("kind", [Unhashable, Other])
async def test_a_platform_of_any_class_has_its_smallest_amount(kind: Any) -> None:
    """POLi needs at least 2 minor units."""
    gateway = Gateway(success("MakeOnlineOrder"))
    async with open_session(gateway) as omipay:
        with pytest.raises(InvalidRequest, match="amount must be at least 2 when platform is POLI"):
            await omipay.make_online_order(**{**ORDER, "amount": 1}, type="web", platform=kind("POLI"))
    assert not gateway.requests


@pytest.mark.parametrize("kind", [Unhashable, Other])
def test_a_currency_of_any_class_has_its_decimals(kind: Any) -> None:
    """A yen has no decimals."""
    assert to_minor("12", kind("JPY")) == 12
    assert from_minor(12, kind("JPY")) == Decimal(12)
    assert from_minor(Liar(1230), kind("AUD")) == Decimal("12.30")
    assert to_minor(Liar(12), "JPY") == 12


async def test_call_compares_a_number_that_was_given_as_an_int_with_the_reply() -> None:
    """It is compared by its digits, and the error contains it."""
    async with open_session(Gateway(success("MakeQROrder", out_order_no="999"))) as omipay:
        with pytest.raises(OutcomeUnknown, match="out_order_no is not the one that was sent") as unknown:
            await omipay.call("MakeQROrder", {"out_order_no": 123})
        assert unknown.value.out_order_no == "123"
    async with open_session(Gateway(success("MakeQROrder", out_order_no="123"))) as omipay:
        assert await omipay.call("MakeQROrder", {"out_order_no": 123})


LARGEST = 2**63 - 1


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        ({"order_no": "TR1", "out_order_no": 12}, {"order_no": "TR1", "out_order_no": "12"}),
        (
            {"refund_no": LARGEST, "out_refund_no": -LARGEST},
            {"refund_no": f"{LARGEST}", "out_refund_no": f"-{LARGEST}"},
        ),
        ({"refund_no": LARGEST + 1, "order_no": True, "out_order_no": 1.0, "x": "1"}, {}),
    ],
)
def test_numbers_are_kept_as_text(values: dict[str, Any], numbers: dict[str, str]) -> None:
    """As they are on the wire. What cannot be sent as a number is left out."""
    context = RequestContext.of(ENDPOINTS["Refund"], values, ())
    assert context.numbers == numbers
    assert (context.amount, context.currency) == (None, None)


@pytest.mark.parametrize(
    ("amount", "kept"),
    [
        (450, 450),
        (Price.FLAT_WHITE, 450),
        (" 450", 450),
        ("4.5", None),
        ("9" * 19, None),
        ("\u0664", None),
        (True, None),
    ],
)
@pytest.mark.parametrize(("currency", "word"), [("AUD", "AUD"), ("aud ", "AUD"), (36, None)])
def test_an_amount_is_kept_if_it_is_valid(*, amount: Any, kept: int | None, currency: Any, word: str | None) -> None:
    """And so is a currency, whatever else is wrong. It is compared with that of the order later."""
    context = RequestContext.of(ENDPOINTS["MakeQROrder"], {"amount": amount, "currency": currency}, ())
    assert (context.amount, context.currency, context.numbers) == (kept, word, {})
    assert (context.sent("amount"), context.sent("currency"), context.sent("order_no")) == (kept, word, None)


def test_the_secrets_of_a_call_are_not_shown() -> None:
    """The keys and the payment code are in no repr and in no excerpt."""
    values = {"qrcode": "134567890", "order_name": "Tea", "pos_no": "till-1"}
    context = RequestContext.of(ENDPOINTS["MakeScanOrder"], values, ("canary",))
    assert context.secrets == ["canary", "134567890"]
    assert "canary" not in repr(context)
    assert "134567890" not in repr(context)
    assert context.excerpt("canary Tea 134567890") == "[removed] Tea [removed]"
    assert not context.general


@pytest.mark.parametrize("name", ["out_order_no", "order_no", "amount"])
async def test_an_int_of_thousands_of_digits_is_rejected(name: str) -> None:
    """Python cannot even print it, and must not raise its own error."""
    async with open_session(Gateway(success("MakeQROrder"))) as omipay:
        with pytest.raises(InvalidRequest, match="must be from -9223372036854775807 to 9223372036854775807"):
            await omipay.call("ConfirmCheckOut", {name: 10**5000})
        with pytest.raises(InvalidRequest, match=r"^out_order_no must be a string"):
            await omipay.make_qr_order(**{**ORDER, "out_order_no": 10**5000}, platform="ALIPAY")


@pytest.mark.parametrize("seconds", [MuteInt(5), MuteFloat(5.0)], ids=["int", "float"])
async def test_seconds_count_by_the_number_that_they_are(seconds: float) -> None:
    """In calls, polls, notifications, sessions, retry policies and backends."""
    gateway = Gateway(success("QueryOrder", order_no="TR1"))
    retry = RetryPolicy(attempts=MuteInt(2), base_delay=seconds, max_delay=seconds, try_timeout=seconds)
    assert "attempts=2, base_delay=5" in repr(retry)
    backend = MemoryBackend(lease=seconds, keep=seconds)
    async with open_session(gateway, timeout=seconds, retry=retry, backend=backend) as omipay:
        assert (await omipay.query_order("TR1", timeout=seconds)).is_paid
        order = await omipay.poll_until_paid("TR1", first_wait=MuteInt(0), interval=seconds, timeout=seconds)
        assert order.is_paid
        with pytest.raises(PollTimeout):
            await omipay.wait_for_notification("T1", timeout=MuteFloat(0.001))
        with pytest.raises(InvalidRequest, match=r"^timeout must be more than 0"):
            await omipay.query_order("TR1", timeout=MuteFloat(0.0))


async def test_texts_count_by_their_characters_everywhere() -> None:
    """In a session, its files and keys, and its calls: no method of a subclass is called."""
    options = {"language": "EN", "notify_url": "https://shop.test/n", "timezone": "Australia/Perth", "region": "AU"}
    gateway = Gateway(success("QueryOrder", order_no="TR1"))
    given: Any = {name: MuteStr(value) for name, value in options.items()}
    keys: Any = {"previous_secret_keys": [MuteStr("old key")], "secret_key": MuteStr("key")}
    async with AsyncOmipay(MuteStr("000034"), transport=gateway, **keys, **given) as omipay:
        assert omipay.m_number == "000034"
        assert (await omipay.fulfil(MuteStr("TR1"), Handler())).is_paid
        assert await omipay.call(MuteStr("ConfirmCheckOut"), {"a": MuteStr("b")}, safety=MuteStr("MONEY"))
        assert {"a=b", "language=EN"} <= set(gateway.pairs)
        for body in (
            MuteStr("{}"),
            {"sign": MuteStr("x"), "timestamp": MuteInt(5), "nonce_str": MuteStr("n")},
        ):
            assert (await omipay.receive_notification(body, Handler())).status in (400, 403)
        assert omipay.parse_wechat_login(MuteStr("openid=1")).openid == "1"
        assert omipay.pay_page_url(MuteStr("https://a.test/"), redirect_url=MuteStr("https://b.test/"))
    assert ssl_context(checked_verify(MuteStr(certifi.where()))) is ssl_context(certifi.where())


def test_decimals_count_by_the_number_that_they_are() -> None:
    """No method of a subclass is called."""
    assert to_minor(MuteDecimal("12.30"), "AUD") == 1230


async def test_a_falsy_argument_is_used_all_the_same() -> None:
    """For example an empty nonce provider, or a clock."""
    issued: list[str] = []

    class Nonces(list[str]):
        def __call__(self) -> str:
            issued.append("a" * 20)
            return issued[-1]

    gateway = Gateway(success("QueryOrder", order_no="TR1"))
    async with open_session(gateway, nonces=Nonces()) as omipay:
        await omipay.query_order("TR1")
    assert issued
    with pytest.raises(ConfigurationError, match=r"^clock has no method"):
        open_session(gateway, clock=untyped([]))


@pytest.mark.parametrize("kind", [str, int])
@pytest.mark.parametrize("name", ["order_no", "out_refund_no", "amount", "timeout"])
async def test_what_only_says_that_it_is_a_value_is_not_sent(kind: type[Any], name: str) -> None:
    """A mock, or a lazy object of a web framework, is rejected by name, and reported once."""
    gateway, events = Gateway(success("Refund")), list[Event]()
    arguments = {"order_no": "TR1", "out_refund_no": "R1", "amount": 5} | {name: Mock(spec=kind)}
    async with open_session(gateway, on_event=events.append) as omipay:
        with pytest.raises(InvalidRequest, match=f"^{name} "):
            await omipay.refund(**untyped(arguments))
    assert [(event.name, event.error) for event in events] == [("call", "InvalidRequest")]
    assert not gateway.requests
