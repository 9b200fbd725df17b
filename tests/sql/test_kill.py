"""Workers that charge, refund and fulfil are killed with SIGKILL at every point; then the books are compared."""

from __future__ import annotations

from .kill import POINTS, run


async def test_nothing_that_moves_money_is_lost_sight_of_over_kill_9(url: str) -> None:
    """Every order and refund of the gateway has its row, DONE or unresolved; no effect twice or of an unpaid order.

    After a sweep no paid order whose number is known is without effect, after its notification none at all. By hand:
    ``python -m tests.sql.kill --kills 500``.
    """
    verdict = await run(url, len(POINTS) - 2)
    assert verdict.wrong == []
    assert sum(verdict.figures["kills"].values()) == len(POINTS) - 2
    assert verdict.figures["after it"]["orders"] > 0
