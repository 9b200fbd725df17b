"""What the README promises of itself: that the package can be installed, its size, its table of contents, its tables."""

from __future__ import annotations

from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

import omipay_async
from tests.support.markdown import DOCS, ROOT, links

README = ROOT / "README.md"


def test_the_build_can_read_the_version() -> None:
    """``pip install .`` fails where it cannot."""
    metadata = ProjectMetadata(str(ROOT), PluginManager())
    assert metadata.version == omipay_async.__version__
    assert metadata.core.license_files == ["omipay_async/LICENSE"]


def test_the_readme_is_short_and_leads_to_each_guide() -> None:
    """250 lines at most, and no guide that only those find who look into the folder."""
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 250
    targets = set(links(README))
    for page in DOCS.glob("*.md"):
        assert f"omipay_async/docs/{page.name}" in targets, page.name
