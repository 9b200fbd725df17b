"""Every link inside the README and the guides leads to a page, and to a heading, that exists."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.markdown import DOCS, ROOT, anchors, links

if TYPE_CHECKING:
    from pathlib import Path

PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_inside_the_docs_lead_somewhere(page: Path) -> None:
    """A file that exists, and a heading in it where the link names one."""
    for target in links(page):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, fragment = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page.name}: {target}"
        assert not fragment or fragment in anchors(linked), f"{page.name}: {target}"
