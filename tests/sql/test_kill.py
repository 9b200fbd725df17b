"""Workers that charge, refund and fulfil are killed with SIGKILL at every point; then the books are compared."""

from __future__ import annotations

import os

import pytest

from .kill import POINTS, Gateway, Workers, run


async def test_nothing_that_moves_money_is_lost_when_workers_are_killed(url: str) -> None:
    """Every order and refund of the gateway has its row, DONE or unresolved; no effect twice or of an unpaid order.

    After a sweep no paid order whose number is known is without effect, after its notification none at all. By hand:
    ``python -m tests.sql.kill --kills 500``.
    """
    verdict = await run(url, len(POINTS) - 2)
    assert verdict.wrong == []
    assert sum(verdict.figures["kills"].values()) == len(POINTS) - 2
    assert verdict.figures["after it"]["orders"] > 0


def exit_by_itself(*_: object) -> None:
    os._exit(255)


async def test_a_worker_that_ends_by_itself_fails_the_kill_test() -> None:
    """The test ends workers only by SIGKILL, so any other end is a defect of the worker."""
    workers = Workers("", "", Gateway(), target=exit_by_itself)
    with pytest.raises(AssertionError, match="ended by itself, with 255"):
        await workers.run_until_killed("in the handler", 0)
