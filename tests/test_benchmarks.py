"""The calculations of the benchmarks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from benchmarks.__main__ import main
from benchmarks.measure import Figures, in_turn
from benchmarks.report import Row, Target, as_json, table
from benchmarks.server import ORDER, Canned
from tests.support.untyped import untyped

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.measure import Block


async def test_sides_take_turns() -> None:
    """Every side has every block, and each round begins with another side."""
    order: list[str] = []

    def block(side: str, figure: float) -> Block:
        async def run() -> float:
            order.append(side)
            return figure

        return run

    figures = await in_turn({"ours": block("ours", 1.0), "theirs": block("theirs", 2.0)}, 3)
    assert order == ["ours", "theirs", "theirs", "ours", "ours", "theirs"]
    assert figures.of == {"ours": [1.0] * 3, "theirs": [2.0] * 3}


def test_ratio_is_taken_within_each_block() -> None:
    """A block in which the whole machine was slow counts like any other; the ratio of the medians would be 1.25."""
    figures = Figures({"ours": [1.0, 10.0, 5.0], "theirs": [2.0, 20.0, 4.0]})
    assert figures.ratio("ours", "theirs") == 0.5
    assert figures.medians() == {"ours": 5.0, "theirs": 4.0}


@pytest.mark.parametrize(
    ("target", "measured", "verdict"),
    [
        (Target(0.8), 0.8, "ok"),
        (Target(0.8), 0.81, "missed"),
        (Target(5, at_least=True), 5.0, "ok"),
        (Target(5, at_least=True), 4.99, "missed"),
        (None, 1.0, ""),
    ],
)
def test_a_target_that_is_just_reached_is_reached(target: Target | None, measured: float, verdict: str) -> None:
    """A target that is just reached is reached. A row without a target has no verdict."""
    assert Row("what", measured, target=target).verdict == verdict


def test_table_and_json_agree() -> None:
    """A missed target is in both, and nothing is raised."""
    row = Row("CPU", 0.91, target=Target(0.8), sides={"ours": 455.0, "naive": 500.0}, note="Bounded at 3 s.")
    text = table([row])
    assert "0.91" in text
    assert "0.8 or less" in text
    assert "missed" in text
    assert "us: ours 455, naive 500" in text
    assert "Bounded at 3 s." in text
    (machine,) = as_json([row])
    assert machine["measured"] == 0.91
    assert machine["target"] == 0.8
    assert machine["verdict"] == "missed"


async def test_canned_server_answers_each_request() -> None:
    """A request may arrive in two pieces, or two at once."""
    written: list[bytes] = []

    class HTTPClient:
        def write(self, data: bytes) -> None:
            written.append(data)

    canned = Canned(0.0)
    canned._transport = untyped(HTTPClient())  # all that it uses of a transport
    canned.data_received(b"GET /omipay/api/v2/QueryOrder?a=1 HTTP/1.1\r\nHost: h\r\n")
    assert not written
    canned.data_received(b"\r\nGET /v1/models/m HTTP/1.1\r\n\r\n")
    order, model = (json.loads(message.partition(b"\r\n\r\n")[2]) for message in written)
    assert order == ORDER
    assert model["id"] == "m"


def test_quick_run_of_one_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``python -m benchmarks --quick --json FILE steps`` prints its rows and writes the same ones."""
    file = tmp_path / "rows.json"
    rows = main(["--quick", "--json", str(file), "steps"])
    written = json.loads(file.read_text(encoding="utf-8"))
    assert [row["what"] for row in written["rows"]] == [row.what for row in rows]
    printed = capsys.readouterr().out
    assert all(row.what in printed for row in rows)
    assert all(row.measured > 0 for row in rows)
    assert written["machine"]["httpx"]


def test_unknown_part_is_rejected(capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt part is a usage error that names it."""
    with pytest.raises(SystemExit):
        main(["--quick", "thoughput"])
    assert "thoughput" in capsys.readouterr().err
