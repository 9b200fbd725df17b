"""The code blocks and links of a Markdown page.

A block that begins with a comment that is a file name (``# shop.py``) is that file: a reader saves it so.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "omipay_async" / "docs"

_BLOCK: Final = re.compile(r"^```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE)
_FILE: Final = re.compile(r"# (?P<name>[\w/.-]+\.\w+)\b")
_LINK: Final = re.compile(r"(?<!!)\[[^\]\n]+\]\((?P<target>[^)\s]+)\)")
_HEADING: Final = re.compile(r"^#{1,6} (?P<text>.+)$", re.MULTILINE)


class Block(NamedTuple):
    """One fenced block of code."""

    language: str
    code: str
    line: int
    """Where it begins in the page, counted from 1."""

    @property
    def file(self) -> str | None:
        """The name under which a reader saves it, if its first line says one."""
        found = _FILE.match(self.code)
        return found["name"] if found else None


def blocks(page: Path, language: str | None = "python") -> list[Block]:
    """The page's blocks in order, those of one language if it is given."""
    text = page.read_text(encoding="utf-8")
    found = [
        Block(match["language"], match["code"], text.count("\n", 0, match.start()) + 1)
        for match in _BLOCK.finditer(text)
    ]
    return [block for block in found if language is None or block.language == language]


def save_files(page: Path, folder: Path) -> list[Path]:
    """Write the page's named files into ``folder``, as a reader would."""
    saved = []
    for block in blocks(page, None):
        if block.file is not None:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code, encoding="utf-8")
            saved.append(path)
    return saved


def links(page: Path) -> list[str]:
    """The targets of the page's links, without those in code blocks."""
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    return [match["target"] for match in _LINK.finditer(text)]


def anchors(page: Path) -> set[str]:
    """The anchors of the page's headings, as GitHub makes them."""
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    return {anchor(match["text"]) for match in _HEADING.finditer(text)}


def anchor(heading: str) -> str:
    """The anchor of one heading."""
    kept = re.sub(r"[^\w\- ]", "", heading.replace("`", "").strip().lower())
    return kept.replace(" ", "-")
