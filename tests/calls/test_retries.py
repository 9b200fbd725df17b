"""What is repeated and when: the table, and the back-off."""

from __future__ import annotations

import math
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omipay_async import ConfigurationError, RetryPolicy, Safety
from omipay_async.calls.retries import AMBIGUOUS, decide
from omipay_async.transport.failures import Failure

ALWAYS = {Failure.SIGN_TIMEOUT}
ON_READS = {Failure.NEVER_SENT, Failure.NO_ANSWER, Failure.BAD_REPLY, Failure.SYSTEM_ERROR}
ON_MONEY = {Failure.NEVER_SENT}


def delay(policy: RetryPolicy, safety: Safety, failure: Failure, **more: Any) -> float | None:
    """The decision, with the longest of the random waits."""
    given: dict[str, Any] = {"attempt": 1, "resigned": False, "random": lambda: 1.0}
    return decide(policy, safety, failure, **(given | more))


@pytest.mark.parametrize("failure", Failure)
@pytest.mark.parametrize("safety", Safety)
def test_only_what_certainly_never_arrived_is_repeated_with_money(safety: Safety, failure: Failure) -> None:
    """API 4, cell by cell: a read may be asked again, money goes out twice only where no byte of it arrived."""
    repeated = ALWAYS | (ON_READS if safety is Safety.READ else ON_MONEY)
    assert (delay(RetryPolicy(), safety, failure) is not None) is (failure in repeated)


def test_nothing_that_leaves_the_outcome_open_is_repeated_with_money() -> None:
    """The two tables cannot contradict each other."""
    assert all(delay(RetryPolicy(), Safety.MONEY, failure) is None for failure in AMBIGUOUS)


@pytest.mark.parametrize("safety", Safety)
def test_attempts_count_the_first_try(safety: Safety) -> None:
    """Three attempts are two repeats; one attempt repeats nothing."""
    assert delay(RetryPolicy(attempts=3), safety, Failure.NEVER_SENT, attempt=2) is not None
    assert delay(RetryPolicy(attempts=3), safety, Failure.NEVER_SENT, attempt=3) is None
    assert delay(RetryPolicy(attempts=1), safety, Failure.NEVER_SENT, attempt=1) is None


@pytest.mark.parametrize("safety", Safety)
def test_a_wrong_clock_is_corrected_once_whatever_the_policy(safety: Safety) -> None:
    """SIGN_TIMEOUT is answered before the gateway acts: signed anew at once, and not a second time."""
    assert delay(RetryPolicy(attempts=1), safety, Failure.SIGN_TIMEOUT) == 0
    assert delay(RetryPolicy(attempts=9), safety, Failure.SIGN_TIMEOUT, resigned=True) is None


def test_the_wait_doubles_up_to_its_limit() -> None:
    """0.2, 0.4, 0.8, 1.6, then 2 seconds at most; a huge number of attempts overflows nothing."""
    policy = RetryPolicy(attempts=10**9)
    waits = [delay(policy, Safety.READ, Failure.NO_ANSWER, attempt=n) for n in (1, 2, 3, 4, 5, 6, 10**8)]
    assert waits == pytest.approx([0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0])


@given(st.integers(1, 100), st.floats(0, 1, exclude_max=True))
def test_the_wait_is_anywhere_up_to_that(attempt: int, chance: float) -> None:
    """Full jitter: clients that failed together do not come back together."""
    policy = RetryPolicy(attempts=101)
    wait = delay(policy, Safety.READ, Failure.NO_ANSWER, attempt=attempt, random=lambda: chance)
    assert wait == chance * min(2.0, 0.2 * 2 ** (attempt - 1))


def test_a_policy_is_a_frozen_value_with_these_defaults() -> None:
    """It can be shared between sessions and used as a default argument."""
    policy = RetryPolicy()
    assert (policy.attempts, policy.base_delay, policy.max_delay, policy.try_timeout) == (3, 0.2, 2.0, 10.0)
    assert hash(policy) == hash(RetryPolicy())
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        policy.attempts = 5  # type: ignore[misc]  # what is tested


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("attempts", value) for value in (0, -1, 1.0, True, "3", None)],
        *[("base_delay", value) for value in (-0.1, math.nan, math.inf, "1", True, None)],
        *[("max_delay", value) for value in (-0.1, math.inf, None)],
        *[("try_timeout", value) for value in (0, 0.0, -1, math.nan, math.inf, "1")],
    ],
)
def test_a_policy_that_cannot_work_is_refused_by_name(name: str, value: Any) -> None:
    """When it is made, not when the first call fails."""
    with pytest.raises(ConfigurationError, match=f"^RetryPolicy.{name} must be "):
        RetryPolicy(**{name: value})


def test_no_wait_at_all_is_a_policy_too() -> None:
    """Zero is a delay, for tests and for the impatient."""
    policy = RetryPolicy(base_delay=0, max_delay=0)
    assert delay(policy, Safety.READ, Failure.NO_ANSWER) == 0
