"""The table: a row for each figure, with its target and whether it was met. No I/O."""

from __future__ import annotations

import attrs


@attrs.frozen
class Target:
    """The target of a figure."""

    limit: float
    at_least: bool = False
    """Whether more is better."""

    def met(self, measured: float) -> bool:
        """Whether ``measured`` reaches it."""
        return measured >= self.limit if self.at_least else measured <= self.limit

    def __str__(self) -> str:
        return f"{self.limit:g} or {'more' if self.at_least else 'less'}"


@attrs.frozen
class Row:
    """One line of the table."""

    what: str
    measured: float
    unit: str = "x"
    """``x`` is a ratio."""
    target: Target | None = None
    sides: dict[str, float] = attrs.field(factory=dict)
    """The figures of the sides, in ``sides_unit``."""
    sides_unit: str = "us"
    note: str = ""
    """What a reader must know to understand the figure."""

    @property
    def verdict(self) -> str:
        """``ok``, ``missed``, or empty without a target."""
        if self.target is None:
            return ""
        return "ok" if self.target.met(self.measured) else "missed"


def table(rows: list[Row]) -> str:
    """The rows as text, each with the figures of its sides."""
    width = max(len(row.what) for row in rows)
    lines = [f"{'what':{width}}  {'measured':>14}  {'target':14}", "-" * (width + 40)]
    for row in rows:
        target = "" if row.target is None else str(row.target)
        lines.append(f"{row.what:{width}}  {_number(row.measured):>9} {row.unit:4}  {target:14} {row.verdict}".rstrip())
        if row.sides:
            parts = (f"{side} {_number(figure)}" for side, figure in row.sides.items())
            lines.append(f"    {row.sides_unit}: {', '.join(parts)}")
        if row.note:
            lines.append(f"    {row.note}")
    return "\n".join(lines)


def as_json(rows: list[Row]) -> list[dict[str, object]]:
    """The rows as JSON."""
    return [
        {
            **attrs.asdict(row, filter=lambda field, _: field.name != "target"),
            "target": None if row.target is None else row.target.limit,
            "at_least": row.target is not None and row.target.at_least,
            "verdict": row.verdict or None,
        }
        for row in rows
    ]


def _number(figure: float) -> str:
    if figure >= 100:
        return f"{figure:,.0f}"
    return f"{figure:.2f}" if figure >= 0.1 else f"{figure:.2g}"
