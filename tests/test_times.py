"""The gateway's times: in Sydney's zone, unless a session has another one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING, Any

import pytest

from omipay_async import AsyncOmipay, ConfigurationError, Order
from tests.support.untyped import untyped

from .support.canned_gateway import CALLS, Gateway, open_session, success

if TYPE_CHECKING:
    from collections.abc import Callable


async def times(reply: dict[str, Any], **options: Any) -> Order:
    """The order that such a reply becomes in a session with these options."""
    async with open_session(Gateway(success("QueryOrder", **reply)), **options) as omipay:
        return await omipay.query_order("TR1")


@pytest.mark.parametrize(
    ("word", "utc"),
    [
        ("20161227105530", "2016-12-26T23:55:30"),  # summer, UTC+11
        ("20160627105530", "2016-06-27T00:55:30"),  # winter, UTC+10
        ("20170402023000", "2017-04-01T15:30:00"),  # came twice: the first one counts
        ("20161002023000", "2016-10-01T16:30:00"),  # never came: read by the offset before the change
    ],
)
async def test_the_gateways_times_are_sydneys(word: str, utc: str) -> None:
    """Aware datetimes in Sydney's zone. An hour that comes twice is the first one, a missing one still a time."""
    order = await times({"order_time": word})
    assert order.order_time is not None
    assert order.order_time.astimezone(UTC).replace(tzinfo=None).isoformat() == utc


@pytest.mark.parametrize("zone", ["Asia/Shanghai", timezone(timedelta(hours=8))])
async def test_a_session_may_be_given_another_zone(zone: Any) -> None:
    """A name, or a tzinfo."""
    order = await times({"order_time": "20161227105530"}, timezone=zone)
    assert order.order_time == datetime(2016, 12, 27, 2, 55, 30, tzinfo=UTC)


@pytest.mark.parametrize("zone", ["Nowhere/Atlantis", "../etc/passwd", "", "a\x00b"])
async def test_without_the_zone_nothing_is_sent(zone: str) -> None:
    """A ConfigurationError that contains ``tzdata``, since no reply could be read."""
    gateway = Gateway(success("MakeScanOrder"))
    async with open_session(gateway, timezone=zone) as omipay:
        with pytest.raises(ConfigurationError, match="tzdata"):
            await CALLS["MakeScanOrder"](omipay)
        with pytest.raises(ConfigurationError, match="tzdata"):
            omipay.parse_notification(b"{}")
    assert not gateway.requests


def test_a_session_is_made_without_a_time_zone_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """The zone is looked up at first use."""

    def missing(name: str) -> None:
        raise AssertionError(name)

    monkeypatch.setattr("zoneinfo.ZoneInfo", missing)
    omipay = open_session(Gateway({}))
    omipay._life.closed = True  # never opened: nothing to close
    assert isinstance(omipay, AsyncOmipay)


class Unhashable(tzinfo):
    """A zone that cannot be hashed."""

    __hash__ = untyped(None)

    def utcoffset(self, when: datetime | None) -> timedelta:
        """Five hours and forty-five minutes."""
        return timedelta(hours=5, minutes=45)

    def dst(self, when: datetime | None) -> timedelta | None:
        """Nobody knows."""
        return None

    def tzname(self, when: datetime | None) -> str | None:
        """Without a name."""
        return None


async def test_any_zone_works_and_none_is_mixed_up_with_another() -> None:
    """However many sessions with their own zones there are in a process."""
    zones = [Unhashable(), *(timezone(timedelta(minutes=minute)) for minute in range(40)), Unhashable()]
    for zone in [*zones, *zones]:
        order = await times({"order_time": "20161227105530"}, timezone=zone)
        assert order.order_time is not None
        assert order.order_time.utcoffset() == zone.utcoffset(None)


class Wrong(tzinfo):
    """A zone of a user's own that can say nothing about some times, or about none."""

    def __init__(self, offset: Callable[[datetime | None], Any]) -> None:
        self.offset = offset

    def utcoffset(self, time: datetime | None) -> Any:
        """What was given."""
        return self.offset(time)

    def dst(self, _: datetime | None) -> None:
        """Not known."""

    def tzname(self, _: datetime | None) -> None:
        """Not known."""


class Localizing(Wrong):
    """As pytz's zones."""

    def localize(self, time: datetime, **_: object) -> Any:
        """What was given."""
        return self.offset(time)


def unknown(time: datetime | None) -> Any:
    raise LookupError(time)


@pytest.mark.parametrize(
    "zone",
    [
        untyped(tzinfo)(),
        Wrong(unknown),
        Wrong(lambda _: None),
        Wrong(lambda _: 10),
        Wrong(lambda _: timedelta(hours=24)),
        Localizing(unknown),
        Localizing(lambda _: None),
        Localizing(lambda time: time),
    ],
)
def test_a_zone_without_an_offset_is_rejected_at_once(zone: tzinfo) -> None:
    """Otherwise it would raise when the reply to a payment is read, or give a time that says nothing."""
    with pytest.raises(ConfigurationError, match=r"^timezone .*offset"):
        open_session(Gateway({}), timezone=zone)


@pytest.mark.parametrize("offset", [unknown, lambda _: None])
async def test_a_zone_that_fails_for_one_time_hides_no_payment(offset: Callable[[datetime | None], Any]) -> None:
    """The time is None then: the customer has paid."""
    zone = Wrong(lambda time: timedelta(hours=10) if time and time.year == 2026 else offset(time))
    gateway = Gateway(success("MakeScanOrder", order_time="20161227105530"))
    async with open_session(gateway, timezone=zone) as omipay:
        scan = await CALLS["MakeScanOrder"](omipay)
    assert scan.is_paid
    assert scan.order_time is None
