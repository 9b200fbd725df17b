"""One browser for all tests; a fresh gateway and a fresh shop for each."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from . import chromium
from .browser_env import BrowserEnv, Ports, opened, ports

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
    """The browser. Each test also fails if a script of a page raised an error."""
    yield one_browser
    assert one_browser.script_errors() == []


@pytest.fixture(scope="session")
def shared_ports() -> Iterator[Ports]:
    with ports() as shared_ports:
        yield shared_ports


@pytest.fixture
def open_env(browser: Browser, shared_ports: Ports) -> Iterator[Callable[..., BrowserEnv]]:
    """Opens a gateway and a shop with other options than the usual ones."""
    with contextlib.ExitStack() as stack:
        yield lambda **options: stack.enter_context(opened(shared_ports, **options))
        browser.leave()  # before the servers go: scripts of an open page ask them


@pytest.fixture
def env(open_env: Callable[..., BrowserEnv]) -> BrowserEnv:
    return open_env()
