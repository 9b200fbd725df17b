"""A fixture for tests of replies that are nested as deeply as Python's stack is."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def no_garbage_collection() -> Iterator[None]:
    """At the end of the stack, what collects the garbage of other tests has no room for their finalizers."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
