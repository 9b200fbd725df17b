"""What is repeated and when: the table, and the back-off."""

from __future__ import annotations

import math
from typing import Any

import attrs
import pytest
from hypothesis import given, strategies as st

from omipay_async import AuthenticationError, ConfigurationError, RetryPolicy, Safety
from omipay_async.calls.outcomes import AMBIGUOUS
from omipay_async.calls.retries import Repeat, Situation, decide, failure_of_refusal, requested_wait_s
from omipay_async.codes import error_code
from omipay_async.protocol.reply import Received
from omipay_async.transport.failures import Failure
from tests.support.untyped import untyped

ALWAYS = {Failure.SIGN_TIMEOUT}
ON_READS = {Failure.NEVER_SENT, Failure.NO_ANSWER, Failure.BAD_REPLY, Failure.SYSTEM_ERROR}
ON_MONEY = {Failure.NEVER_SENT}


def decided(policy: RetryPolicy, safety: Safety, failure: Failure, **more: Any) -> Repeat | None:
    """The decision with the longest random waits and unlimited time."""
    chance = more.pop("random", lambda: 1.0)
    given: dict[str, Any] = {
        "attempts": 1,
        "time_left": math.inf,
        "signed_again": False,
        "another_node": False,
        "retry_after": None,
        **more,
    }
    return decide(policy, Situation(safety, failure, **given), chance)


def delay(policy: RetryPolicy, safety: Safety, failure: Failure, **more: Any) -> float | None:
    """The seconds after which it is repeated."""
    repeat = decided(policy, safety, failure, **more)
    return None if repeat is None else repeat.delay


@pytest.mark.parametrize("failure", Failure)
@pytest.mark.parametrize("safety", Safety)
def test_only_what_certainly_never_arrived_is_repeated_with_money(safety: Safety, failure: Failure) -> None:
    """API 4, cell by cell: a read may be repeated, a money call only if no byte of it has arrived."""
    repeated = ALWAYS | (ON_READS if safety is Safety.READ else ON_MONEY)
    assert (delay(RetryPolicy(), safety, failure) is not None) is (failure in repeated)


def test_nothing_that_leaves_the_outcome_open_is_repeated_with_money() -> None:
    """The two tables cannot contradict each other."""
    assert all(delay(RetryPolicy(), Safety.MONEY, failure, another_node=True) is None for failure in AMBIGUOUS)


@pytest.mark.parametrize("safety", Safety)
def test_attempts_count_the_first_one(safety: Safety) -> None:
    """Three attempts are two repeats; with one attempt nothing is repeated."""
    assert delay(RetryPolicy(attempts=3), safety, Failure.NEVER_SENT, attempts=2) is not None
    assert delay(RetryPolicy(attempts=3), safety, Failure.NEVER_SENT, attempts=3) is None
    assert delay(RetryPolicy(attempts=1), safety, Failure.NEVER_SENT, attempts=1) is None


@pytest.mark.parametrize("safety", Safety)
def test_a_wrong_clock_is_corrected_once_whatever_the_policy(safety: Safety) -> None:
    """SIGN_TIMEOUT is answered before the gateway acts: it is signed again at once, but not a second time."""
    assert delay(RetryPolicy(attempts=1), safety, Failure.SIGN_TIMEOUT) == 0
    assert delay(RetryPolicy(attempts=9), safety, Failure.SIGN_TIMEOUT, signed_again=True) is None


# -- nodes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", Failure)
@pytest.mark.parametrize("safety", Safety)
def test_another_node_is_tried_only_if_the_first_never_received_it(safety: Safety, failure: Failure) -> None:
    """At once, whatever the policy. A connection that was accepted and dropped may have brought the request."""
    repeat = decided(RetryPolicy(attempts=1), safety, failure, another_node=True)
    expected = Repeat(on_another_node=True) if failure is Failure.NEVER_SENT else None
    assert repeat == (Repeat() if failure is Failure.SIGN_TIMEOUT else expected)


def test_two_nodes_have_no_more_attempts_than_one() -> None:
    """But each node is tried once, even if the policy repeats nothing."""
    assert decided(RetryPolicy(attempts=1), Safety.MONEY, Failure.NEVER_SENT, attempts=2, another_node=True) is None
    assert decided(RetryPolicy(attempts=4), Safety.MONEY, Failure.NEVER_SENT, attempts=3, another_node=True) == Repeat(
        on_another_node=True
    )
    assert decided(RetryPolicy(attempts=3), Safety.MONEY, Failure.NEVER_SENT, attempts=3, another_node=True) is None


# -- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [Failure.NEVER_SENT, Failure.SIGN_TIMEOUT])
@pytest.mark.parametrize("another_node", [False, True])
@pytest.mark.parametrize("time_left", [0, -1])
def test_without_time_nothing_is_repeated(failure: Failure, another_node: bool, time_left: float) -> None:
    """Neither on the same node nor on another, nor after an offset was learnt."""
    now = {"another_node": another_node, "time_left": time_left}
    assert decided(RetryPolicy(base_delay=0), Safety.READ, failure, **now) is None


@pytest.mark.parametrize(("retry_after", "expected"), [(None, 0.2), (0.0, 0.2), (0.1, 0.2), (7.0, 7.0), (9.99, 9.99)])
def test_a_read_that_was_asked_to_wait_waits(retry_after: float | None, expected: float) -> None:
    """Not less than its own back-off, and longer than ``max_delay`` if it was asked to."""
    more = {"retry_after": retry_after, "time_left": 10}
    assert delay(RetryPolicy(), Safety.READ, Failure.BAD_REPLY, **more) == pytest.approx(expected)


def test_a_read_that_is_asked_to_wait_too_long_ends_at_once() -> None:
    """An earlier request would be refused, and waiting without one would not help."""
    assert delay(RetryPolicy(), Safety.READ, Failure.BAD_REPLY, retry_after=10.0, time_left=10) is None


# -- SIGN_TIMEOUT -----------------------------------------------------------------------------------------------------

FOUR_MINUTES_MS = 240_000


def refusal(code: str = "SIGN_TIMEOUT", **raw: Any) -> AuthenticationError:
    """A FAIL."""
    return AuthenticationError("", error_code=error_code(code), raw={"return_code": "FAIL", "error_code": code, **raw})


@pytest.mark.parametrize("off_ms", [FOUR_MINUTES_MS, -FOUR_MINUTES_MS, 10**9])
@pytest.mark.parametrize("safety", Safety)
def test_a_refusal_that_its_date_confirms_is_signed_again(safety: Safety, off_ms: int) -> None:
    """The Date shows that the timestamp was four minutes off or more, in either direction."""
    assert failure_of_refusal(safety, refusal(), 10**12 + off_ms, 10**12) is Failure.SIGN_TIMEOUT


@pytest.mark.parametrize("off_ms", [0, 1_000, FOUR_MINUTES_MS - 1, 1 - FOUR_MINUTES_MS])
def test_a_refusal_that_its_date_contradicts_sends_no_money_again(off_ms: int) -> None:
    """By its Date our timestamp was right, so it may be another call's reply. A read may be repeated."""
    assert failure_of_refusal(Safety.MONEY, refusal(), 10**12 + off_ms, 10**12) is Failure.REFUSED
    assert failure_of_refusal(Safety.READ, refusal(), 10**12 + off_ms, 10**12) is Failure.SIGN_TIMEOUT


@pytest.mark.parametrize("safety", Safety)
def test_without_a_date_nothing_is_signed_again(safety: Safety) -> None:
    """Signing again with the same clock would not help."""
    assert failure_of_refusal(safety, refusal(), None, 10**12) is Failure.REFUSED


@pytest.mark.parametrize(
    "name", ["order_no", "out_order_no", "refund_no", "out_refund_no", "order_time", "pay_time", "refund_time"]
)
@pytest.mark.parametrize("date_ms", [None, 10**12, 2 * 10**12])
def test_a_refusal_that_shows_an_order_is_a_bad_reply(name: str, date_ms: int | None) -> None:
    """The gateway did more than check the signature. An empty field does not count."""
    assert failure_of_refusal(Safety.MONEY, refusal(**{name: "TR1"}), date_ms, 10**12) is Failure.BAD_REPLY
    assert failure_of_refusal(Safety.MONEY, refusal(**{name: ""}), 2 * 10**12, 10**12) is Failure.SIGN_TIMEOUT
    assert failure_of_refusal(Safety.READ, refusal(**{name: "TR1"}), 2 * 10**12, 10**12) is Failure.SIGN_TIMEOUT


@pytest.mark.parametrize("code", ["SIGN_ERROR", "MERCHANTNO_INVALID"])
def test_other_refusals_are_refusals(code: str) -> None:
    """Whatever their Date is."""
    assert failure_of_refusal(Safety.READ, refusal(code), 2 * 10**12, 10**12) is Failure.REFUSED


@pytest.mark.parametrize(("status", "expected"), [(429, 7.0), (503, 7.0), (200, None), (500, None), (302, None)])
def test_only_two_statuses_can_ask_to_wait(status: int, expected: float | None) -> None:
    """429 and 503."""
    assert requested_wait_s(Received(status, b"", retry_after="7"), 0) == expected


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("Tue, 14 Nov 2023 22:13:28 GMT", 8.0),
        ("Tue, 14 Nov 2023 21:13:36 GMT", 3600.0),
        ("Tue, 14 Nov 2023 23:00:00 GMT", 0.0),
        (None, 16.0),
        ("yesterday", 16.0),
        ("Tue, 14 Nov 1995 22:13:28 GMT", 16.0),
    ],
)
def test_a_time_to_wait_for_counts_from_the_time_of_the_reply(date: str | None, expected: float) -> None:
    """Our own clock may be off, and counts only where the reply has no ``Date`` that can be believed."""
    received = Received(503, b"", date=date, retry_after="Tue, 14 Nov 2023 22:13:36 GMT")
    assert requested_wait_s(received, 1_700_000_000_000) == expected


# -- the back-off -----------------------------------------------------------------------------------------------------


def test_the_wait_doubles_up_to_its_limit() -> None:
    """0.2, 0.4, 0.8, 1.6, then at most 2 seconds. A huge number of attempts does not overflow."""
    policy = RetryPolicy(attempts=10**9)
    waits = [delay(policy, Safety.READ, Failure.NO_ANSWER, attempts=n) for n in (1, 2, 3, 4, 5, 6, 10**8)]
    assert waits == pytest.approx([0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0])


@given(st.integers(1, 100), st.floats(0, 1, exclude_max=True))
def test_the_wait_is_random_up_to_that(attempt: int, chance: float) -> None:
    """Full jitter: clients that failed at the same time do not repeat at the same time."""
    policy = RetryPolicy(attempts=101)
    wait = delay(policy, Safety.READ, Failure.NO_ANSWER, attempts=attempt, random=lambda: chance)
    assert wait == chance * min(2.0, 0.2 * 2 ** (attempt - 1))


def test_a_policy_is_a_frozen_value_with_these_defaults() -> None:
    """It can be shared between sessions and used as a default argument."""
    policy = RetryPolicy()
    assert (policy.attempts, policy.base_delay, policy.max_delay, policy.try_timeout) == (3, 0.2, 2.0, 10.0)
    assert hash(policy) == hash(RetryPolicy())
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        untyped(policy).attempts = 5


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        *[("attempts", value, "an int of at least 1") for value in (0, -1, 1.0, True, "3", None)],
        *[(name, -0.1, "at least 0 seconds") for name in ("base_delay", "max_delay")],
        *[("try_timeout", value, "more than 0 seconds") for value in (0, 0.0, -1)],
        *[
            (name, value, "a finite number of seconds, or None where that is allowed")
            for name in ("base_delay", "max_delay", "try_timeout")
            for value in (math.nan, math.inf, -math.inf)
        ],
        *[("base_delay", value, f"a number of seconds, not {type(value).__name__}") for value in ("1", True, None)],
    ],
)
def test_a_policy_that_cannot_work_is_rejected_by_name(name: str, value: Any, why: str) -> None:
    """When it is made, not at the first call that fails."""
    with pytest.raises(ConfigurationError, match=f"^RetryPolicy.{name} must be {why}$"):
        RetryPolicy(**{name: value})


def test_a_single_attempt_and_no_wait_are_a_policy() -> None:
    """The smallest values that are allowed."""
    policy = RetryPolicy(attempts=1, base_delay=0, max_delay=0, try_timeout=1e-9)
    assert (policy.attempts, policy.base_delay, policy.max_delay, policy.try_timeout) == (1, 0, 0, 1e-9)


def test_no_wait_at_all_is_a_policy_too() -> None:
    """A delay of zero is allowed, for example for tests."""
    policy = RetryPolicy(base_delay=0, max_delay=0)
    assert delay(policy, Safety.READ, Failure.NO_ANSWER) == 0
