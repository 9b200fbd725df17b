"""One browser for all tests; a fresh gateway and a fresh shop for each."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from . import chromium
from .browser_env import Street, Town, opened, street

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .chromium import Browser


@pytest.fixture(scope="session")
def one_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.setenv("SE_OFFLINE", "true")
        patch.setenv("NO_PROXY", "localhost,127.0.0.1")
        yield stack.enter_context(chromium.started(tmp_path_factory.mktemp("chromium")))


@pytest.fixture
def browser(one_browser: Browser) -> Iterator[Browser]:
    """The browser; that no script of a page raised is part of every test."""
    yield one_browser
    assert one_browser.script_errors() == []


@pytest.fixture(scope="session")
def one_street() -> Iterator[Street]:
    with street() as one_street:
        yield one_street


@pytest.fixture
def open_town(browser: Browser, one_street: Street) -> Iterator[Callable[..., Town]]:
    """Opens a gateway and a shop that are unlike the usual ones."""
    with contextlib.ExitStack() as stack:
        yield lambda **options: stack.enter_context(opened(one_street, **options))
        browser.leave()  # before the servers go: scripts of an open page ask them


@pytest.fixture
def town(open_town: Callable[..., Town]) -> Town:
    return open_town()
