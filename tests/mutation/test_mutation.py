"""Which faults are put into the package, and that faults without an effect are listed with a reason."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

pytest.importorskip("mutmut", reason="the extra dev-mutation is not installed")

from .__main__ import _LONG
from .mutants import ROOT, applied, mutations_of

_LISTED = tomllib.loads((Path(__file__).parent / "equivalent.toml").read_text(encoding="utf-8"))
_CODE = """
T = TypeVar("T")

if TYPE_CHECKING:
    Handler = Callable[[int], object]

class Light(enum.Enum):
    RED = enum.auto()

class Till:
    @property
    def due(self):
        if self.open:
            self.close()
            raise ValueError("The till is open.", f"Close till {self.name}.")
        return cast("int", self.amount + 1)
"""


def _changes(code: str) -> set[tuple[str, str]]:
    module, mutations = mutations_of("till.py", code)
    found = [applied("till.py", n, module, change) for n, change in enumerate(mutations)]
    return {(one.was, one.now) for one in found}


def test_small_faults_are_made_but_none_in_messages() -> None:
    """They change operators, constants, conditions and statements, also in properties, which mutmut leaves out."""
    returned = 'return cast("int", self.amount + 1)'
    assert _changes(_CODE) == {
        ("if self.open:", "if not (self.open):"),
        ("self.close()", "pass"),
        ('raise ValueError("The till is open.", f"Close till {self.name}.")', "pass"),
    }
    assert _changes(_CODE.replace(returned, "return self.amount + 1")) >= {
        ("return self.amount + 1", "return self.amount - 1"),
        ("return self.amount + 1", "return self.amount + 2"),
    }


@pytest.mark.parametrize(("path", "listed"), sorted(_LISTED.items()))
def test_what_changes_nothing_is_still_there_and_says_why(path: str, listed: list[dict[str, str]]) -> None:
    """An entry for a line that does not exist any more could later hide a real fault."""
    lines = " ".join(line.strip() for line in (ROOT / path).read_text(encoding="utf-8").splitlines())
    assert [one["was"] for one in listed if one["was"] not in lines] == []
    assert all(one["why"].strip() and one["was"] != one["now"] for one in listed)


@pytest.mark.parametrize("left_out", _LONG)
def test_a_long_test_that_is_left_out_exists(left_out: str) -> None:
    """A test that was renamed would be run for each fault of its sub-package, for minutes."""
    path, _, name = left_out.partition("::")
    files = [
        file for file in ROOT.glob(f"{path}*") if f"def {name.partition('[')[0]}" in file.read_text(encoding="utf-8")
    ]
    assert files
