"""``Date`` and ``Retry-After``: three forms of one time, and what is not believed."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import pytest

from omipay_async.protocol.http_date import believable_date_ms, parse_http_date, retry_after_s

if TYPE_CHECKING:
    from collections.abc import Iterator

MOMENT = 784_111_777_000
FORMS = ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
NOW = 1_700_000_000_000  # Tue, 14 Nov 2023 22:13:20 GMT
DAY = 86_400_000


@pytest.fixture(params=["UTC", "Australia/Sydney"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine's own time zone."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("text", FORMS)
def test_three_forms_of_one_time(zone: None, text: str) -> None:
    """They are in UTC, whatever the machine's zone is."""
    assert parse_http_date(text) == MOMENT


@pytest.mark.parametrize(
    "text", ["Sat, 31 Dec 2016 23:59:60 GMT", "Saturday, 31-Dec-16 23:59:60 GMT", "Sat Dec 31 23:59:60 2016"]
)
def test_a_leap_second_is_read_as_the_one_before(text: str) -> None:
    """HTTP allows it."""
    assert parse_http_date(text) == parse_http_date(text.replace(":60", ":59"))
    assert parse_http_date(text.replace(":60", ":61")) is None


@pytest.mark.parametrize(
    "text",
    [
        *(None, "", " ", "yesterday", "0", "1700000000", "Tue, 99 Nov 2023 23:13:20 GMT", "Thu, 01 Jan 99999 00:00:00"),
        *("Tue, 14 Nov 2023 22:13:20 AEDT", "Tue, 14 Nov 2023 22:13:20 CET", "Tue, 14 Nov 2023 22:13:20 GMT+11"),
        *(
            "Tue, 14 Nov 2023 22:13:20",
            "14 Nov 2023 22:13:20 GMT",
            "Tue, 14 Nov 2023 22:13 GMT",
            f"{FORMS[0]}, {FORMS[0]}",
        ),
        *("Tue, 14 Nov 2023 10:13:20 PM GMT", "Tue, 14 Nov 2023 22:13:20 GMT, Tue, 14 Nov 2023 23:13:20 GMT"),
        *("Tue Nov 14 22:13:20 AEDT 2023", "Tue, 14 Xyz 2023 22:13:20 GMT", "Tue, 14 Nov 2023 ::::::::: GMT"),
        *("Tue, 14 Nov 2023 :::::::: GMT", "Tue, 14 Nov 2023 22:13:20 gmt\n\n.", "Tue, 14 Nov 2023 99999999 GMT"),
        *("Tue, 14 Nov 2023 25:13:20 GMT", "Tue, 14 Nov 2023 22:13:20 +1000", "Tue, 14 Nov 2023 22:13:20 EST", "\x00"),
    ],
)
def test_what_is_not_such_a_time(text: str | None) -> None:
    """It is None, and never an exception."""
    assert parse_http_date(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Tue, 14 Nov 2023 22:13:20 GMT", NOW),
        ("Tue, 14 Nov 2023 23:13:20 GMT", NOW + 3_600_000),
        ("Thu, 14 Dec 2023 22:13:20 GMT", NOW + 30 * DAY),
        ("Thu, 14 Dec 2023 22:13:21 GMT", None),
        ("Sun, 15 Oct 2023 22:13:20 GMT", NOW - 30 * DAY),
        ("Sun, 15 Oct 2023 22:13:19 GMT", None),
        (FORMS[0], None),
        (None, None),
    ],
)
def test_a_date_far_from_our_own_clock_is_not_believed(text: str | None, expected: int | None) -> None:
    """Up to thirty days are believed."""
    assert believable_date_ms(text, NOW) == expected


def test_thirty_days_are_counted_to_the_millisecond() -> None:
    """A Date that is a millisecond further away is not believed."""
    assert believable_date_ms("Thu, 14 Dec 2023 22:13:20 GMT", NOW - 1) is None
    assert believable_date_ms("Sun, 15 Oct 2023 22:13:20 GMT", NOW + 1) is None


def test_a_date_before_2000_is_not_believed() -> None:
    """Not even if the machine's own clock shows such a time."""
    assert believable_date_ms("Fri, 31 Dec 1999 23:59:59 GMT", 946_684_799_000) is None
    assert believable_date_ms("Sat, 01 Jan 2000 00:00:00 GMT", 946_684_799_000) == 946_684_800_000
    assert believable_date_ms("Wed, 31 Dec 1969 23:59:59 GMT", 0) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("Tue, 14 Nov 2023 22:12:20 GMT", 0.0),
        (FORMS[2], 0.0),
        ("0\x1f", 0.0),
        (" 5\x1c", 5.0),
        ("9" * 10, 9_999_999_999.0),
        ("9" * 400, math.inf),
        ("5, 120 ,7", 120.0),
        *((text, None) for text in (None, "", "soon", "-5", "1.5", "1e3", "١٢", "5,", "5, soon")),
    ],
)
def test_how_long_a_server_asks_to_wait(text: str | None, expected: float | None) -> None:
    """Seconds, or until a time, which may have passed. Anything else is None."""
    assert retry_after_s(text, NOW) == expected
