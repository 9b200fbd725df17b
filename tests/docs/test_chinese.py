"""The Chinese pages: nothing is missing beside the English ones, and they are written as Chinese is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.markdown import DOCS, ROOT, blocks

if TYPE_CHECKING:
    from pathlib import Path

PAGES = {"README": ROOT / "README.md", "shop": DOCS / "shop.md", "till": DOCS / "till.md"}
_HAN = "[\u4e00-\u9fff]"


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return re.sub(r"^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def shape(page: Path) -> list[str]:
    """How the page's headings, rows, items and quoted paragraphs begin, in their order."""
    return re.findall(r"^\s*(#+ |\| |> (?=\*\*|\d)|- |\d\. )", prose(page), flags=re.MULTILINE)


def codes(page: Path) -> set[str]:
    """Every name, command and value between back quotes."""
    return set(re.findall(r"`([^`]+)`", prose(page).replace("\n", " ")))


@pytest.mark.parametrize("page", PAGES)
def test_the_chinese_pages_print_the_same_programs(page: str) -> None:
    """What is tested in English is what a reader of Chinese is given."""
    assert [block.code for block in blocks(DOCS / "zh" / f"{page}.md")] == [block.code for block in blocks(PAGES[page])]


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_missing_in_chinese(page: str) -> None:
    """The same headings, rows and items in the same order, and every name and command of the English page."""
    chinese = DOCS / "zh" / f"{page}.md"
    assert shape(chinese) == shape(PAGES[page])
    assert codes(PAGES[page]) - codes(chinese) == set()


@pytest.mark.parametrize("page", PAGES)
def test_chinese_punctuation_and_the_terms_of_the_documents(page: str) -> None:
    """No half-width comma, colon or bracket beside a Chinese character, and the words that Omipay's document uses."""
    text = re.sub(r"`[^`]*`|\]\([^)]*\)", "", prose(DOCS / "zh" / f"{page}.md"))
    assert re.findall(rf"{_HAN}[,:;(?!]|[,;)]{_HAN}", text) == []
    assert re.findall("顾客|刷卡支付|刷卡订单|商家后台|拒付|扫码订单", text) == []


@pytest.mark.parametrize("page", PAGES)
def test_spaces_stand_between_chinese_and_other_words_only(page: str) -> None:
    """No paragraph is broken into lines either: a browser would show a space between two Chinese characters there."""
    text = prose(DOCS / "zh" / f"{page}.md")
    assert re.findall(rf"{_HAN}[A-Za-z0-9`]|[A-Za-z0-9`]{_HAN}|{_HAN} \[?{_HAN}|[，。：；（）、] [^|*]", text) == []
    assert re.findall(r"[^\n|>]\n(?=[^\n#|> -])(?!\d\. )", text) == []
