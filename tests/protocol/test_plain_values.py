"""Arguments count by what they hold, whatever their class says of itself."""

from __future__ import annotations

import enum
from decimal import Decimal
from typing import Any

import pytest

from omipay_async import InvalidRequest, OutcomeUnknown, from_minor, to_minor
from tests.support.canned_gateway import ORDER, Gateway, open_session, success
from tests.support.untyped import untyped


class Price(int, enum.Enum):
    """Formats as the name of a member."""

    FLAT_WHITE = 450


class Liar(int):
    """A number that shows, and compares as, another one."""

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
    """A word that cannot be looked up."""

    __slots__ = ()
    __hash__ = untyped(None)


class Other(str):
    """A word that is equal to none."""

    __slots__ = ()

    def __eq__(self, _: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 0


@pytest.mark.parametrize("amount", [Price.FLAT_WHITE, Liar(450)])
async def test_an_amount_is_sent_as_the_number_that_it_is(amount: int) -> None:
    """By the methods and by ``call``; the order that comes back holds a plain int."""
    gateway = Gateway(success("MakeQROrder"))
    async with open_session(gateway) as omipay:
        order = await omipay.make_qr_order(**{**ORDER, "amount": amount}, platform="ALIPAY")
        assert "amount=450" in gateway.pairs
        assert (type(order.amount), order.amount) == (int, 450)
        await omipay.call("ConfirmCheckOut", {"amount": amount})
        assert "amount=450" in gateway.pairs


async def test_an_amount_below_the_least_is_refused_whatever_it_says_of_itself() -> None:
    """Nothing is sent."""
    gateway = Gateway(success("MakeQROrder"))
    async with open_session(gateway) as omipay:
        with pytest.raises(InvalidRequest, match=r"^amount must be at least 1"):
            await omipay.make_qr_order(**{**ORDER, "amount": Liar(-5)}, platform="ALIPAY")
    assert not gateway.requests


@pytest.mark.parametrize("kind", [Unhashable, Other])
async def test_a_platform_of_any_class_has_its_smallest_amount(kind: Any) -> None:
    """POLi takes 2 minor units at least."""
    gateway = Gateway(success("MakeOnlineOrder"))
    async with open_session(gateway) as omipay:
        with pytest.raises(InvalidRequest, match="amount must be at least 2 when platform is POLI"):
            await omipay.make_online_order(**{**ORDER, "amount": 1}, type="web", platform=kind("POLI"))
    assert not gateway.requests


@pytest.mark.parametrize("kind", [Unhashable, Other])
def test_a_currency_of_any_class_has_its_decimals(kind: Any) -> None:
    """A yen has none."""
    assert to_minor("12", kind("JPY")) == 12
    assert from_minor(12, kind("JPY")) == Decimal(12)
    assert from_minor(Liar(1230), kind("AUD")) == Decimal("12.30")
    assert to_minor(Liar(12), "JPY") == 12


async def test_call_holds_a_number_that_was_given_as_an_int_against_the_reply() -> None:
    """It is compared by its digits, and the error names it."""
    async with open_session(Gateway(success("MakeQROrder", out_order_no="999"))) as omipay:
        with pytest.raises(OutcomeUnknown, match="out_order_no is not the one that was sent") as unknown:
            await omipay.call("MakeQROrder", {"out_order_no": 123})
        assert unknown.value.out_order_no == "123"
    async with open_session(Gateway(success("MakeQROrder", out_order_no="123"))) as omipay:
        assert await omipay.call("MakeQROrder", {"out_order_no": 123})


@pytest.mark.parametrize("name", ["out_order_no", "order_no", "amount"])
async def test_an_int_of_thousands_of_digits_is_refused(name: str) -> None:
    """Python does not even write it: no error of its own comes out."""
    async with open_session(Gateway(success("MakeQROrder"))) as omipay:
        with pytest.raises(InvalidRequest, match="is too large"):
            await omipay.call("ConfirmCheckOut", {name: 10**5000})
        with pytest.raises(InvalidRequest, match=r"^out_order_no must be a string"):
            await omipay.make_qr_order(**{**ORDER, "out_order_no": 10**5000}, platform="ALIPAY")
