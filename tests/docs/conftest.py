"""Programs of the guides need packages that the extra ``dev`` does not bring. CI has a step in which none may miss."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest


def is_missing(package: str) -> bool:
    """Whether it is not installed. (arq may be in an environment of its own.)"""
    return find_spec(package) is None and not (package == "arq" and "ARQ_PYTHON" in os.environ)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that is marked with ``needs(package)`` if it is missing."""
    for mark in item.iter_markers("needs"):
        if is_missing(*mark.args) and "GUIDES_REQUIRED" not in os.environ:
            pytest.skip(f"{mark.args[0]} is not installed: pip install -e '.[dev-guides,dev-web]'")
