"""The pauses of backends that listen again after a failure."""

from __future__ import annotations

import random

import pytest

from omipay_async.fulfilment import pauses


@pytest.mark.parametrize(("share", "expected"), [(0.0, [0.025, 0.05, 0.1, 0.1]), (1.0, [0.05, 0.1, 0.2, 0.2])])
def test_pauses_grow_until_an_attempt_has_worked(
    monkeypatch: pytest.MonkeyPatch, share: float, expected: list[float]
) -> None:
    """Each is random, up to twice the one before, so that processes do not connect together."""
    monkeypatch.setattr(pauses, "LONGEST_PAUSE_S", 0.2)
    monkeypatch.setattr(random, "uniform", lambda low, high: low + share * (high - low))
    own = pauses.Pauses()
    for _ in range(2):
        assert own.first
        assert [own.next() for _ in range(4)] == pytest.approx(expected)
        assert not own.first
        own.reset()
