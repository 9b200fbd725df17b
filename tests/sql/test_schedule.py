"""When a sweep asks about an order, by the order's age."""

from __future__ import annotations

from datetime import timedelta

import pytest

from omipay_async.sql.schedule import next_attempt, next_question


@pytest.mark.parametrize(("age", "due"), [(0, 10), (3, 10), (5, 10), (10, 20), (20, 40), (3600, 7200)])
def test_an_order_is_asked_about_at_ten_seconds_and_whenever_its_age_has_doubled(age: float, due: float) -> None:
    """After a question at ``age`` seconds it is due again at ``due`` seconds."""
    assert next_question(timedelta(seconds=age)) == timedelta(seconds=due)


def test_an_unpaid_order_costs_few_questions() -> None:
    """There are some twenty in its first year."""
    age, questions = timedelta(0), 0
    while (age := next_question(age)) < timedelta(days=365):
        questions += 1
    assert questions == 22


@pytest.mark.parametrize(("age", "due"), [(0, 10), (10, 20), (30, 60), (60, 120), (86_400, 86_460)])
def test_after_a_failure_an_order_is_asked_about_within_a_minute(age: float, due: float) -> None:
    """It may be paid and not fulfilled, however old it is."""
    assert next_attempt(timedelta(seconds=age)) == timedelta(seconds=due)
