"""A headless Chromium, driven through selenium: what a customer or a developer does and sees, in a few words."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


_PATIENCE_S = 10.0
_PHONE = {"width": 375, "height": 812, "deviceScaleFactor": 2, "mobile": True}
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--lang=en-AU",
    "--window-size=1200,900",
)

# Pages look every two seconds for what is new: here twenty times as often, so that nobody waits.
_HURRY = "const unhurried = setInterval; window.setInterval = (act, ms) => unhurried(act, ms / 20);"
_MODULES = """
const [picture, count] = arguments;
return (async () => {
  const png = Uint8Array.from(atob(picture), letter => letter.charCodeAt(0));
  const image = await createImageBitmap(new Blob([png], {type: "image/png"}));
  const canvas = new OffscreenCanvas(image.width, image.height).getContext("2d");
  canvas.drawImage(image, 0, 0);
  const dark = (x, y) => canvas.getImageData(x, y, 1, 1).data[1] < 128 ? 1 : 0;
  const middles = length => Array.from({length: count}, (_, index) => Math.floor((index + 0.5) * length / count));
  return middles(image.height).map(y => middles(image.width).map(x => dark(x, y)));
})();
"""


@contextlib.contextmanager
def started(profile: Path) -> Iterator[Browser]:
    """A browser of its own, with a fresh profile, which ends with the ``with``. Nothing is ever downloaded."""
    options = Options()
    options.binary_location = _program("chromium", "chromium-browser", "google-chrome")
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = Service(_program("chromedriver"), env={**os.environ, "SE_OFFLINE": "true"})
    driver = webdriver.Chrome(options, service)
    try:
        yield Browser(driver)
    finally:
        driver.quit()


def _program(*names: str) -> str:
    for name in names:
        path = shutil.which(name)
        if path is not None:
            return path
    message = f"{names[0]} is not installed: the sandbox's pages were not tested in a browser"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


class Browser:
    """What somebody before a screen does. Every look waits until there is something to see."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver
        driver.set_page_load_timeout(_PATIENCE_S)
        self._devtools("Page.addScriptToEvaluateOnNewDocument", {"source": _HURRY})

    # -- doing ------------------------------------------------------------------------------------------------------

    def open(self, url: str) -> None:
        """Go to an address."""
        self.driver.get(url)

    def press(self, css: str) -> None:
        """Press the button that ``css`` finds."""

        def press() -> bool:
            self.driver.find_element(By.CSS_SELECTOR, css).click()
            return True

        self.sees(press, f"a button {css}")

    def choose(self, css: str, words: str) -> None:
        """Choose from a list."""
        Select(self.driver.find_element(By.CSS_SELECTOR, css)).select_by_visible_text(words)

    @contextlib.contextmanager
    def another_tab(self, url: str) -> Iterator[None]:
        """Do something elsewhere, as on a phone, while the page stays open."""
        before = self.driver.current_window_handle
        self.driver.switch_to.new_window("tab")
        try:
            self.open(url)
            yield
        finally:
            self.driver.close()
            self.driver.switch_to.window(before)

    @contextlib.contextmanager
    def on_a_desk(self) -> Iterator[None]:
        """The screen as it is."""
        yield

    @contextlib.contextmanager
    def on_a_phone(self) -> Iterator[None]:
        """A screen of 375 pixels."""
        self._devtools("Emulation.setDeviceMetricsOverride", _PHONE)
        try:
            yield
        finally:
            self._devtools("Emulation.clearDeviceMetricsOverride", {})

    @contextlib.contextmanager
    def in_the_dark(self) -> Iterator[None]:
        """A system that asks pages for dark colours."""
        dark = {"name": "prefers-color-scheme", "value": "dark"}
        self._devtools("Emulation.setEmulatedMedia", {"features": [dark]})
        try:
            yield
        finally:
            self._devtools("Emulation.setEmulatedMedia", {"features": []})

    def leave(self) -> None:
        """Close the page, with its scripts."""
        self.open("about:blank")

    # -- seeing -----------------------------------------------------------------------------------------------------

    def sees(self, seen: Callable[[], object], what: str) -> None:
        """Wait until ``seen()`` is true; elements that are not there yet, or no longer, do not matter."""
        passing = (NoSuchElementException, StaleElementReferenceException)
        wait = WebDriverWait(self.driver, _PATIENCE_S, poll_frequency=0.02, ignored_exceptions=passing)
        wait.until(lambda _: seen(), f"{what} did not appear at {self.driver.current_url.partition('?')[0]}")

    def reads(self, words: str, css: str = "body") -> None:
        """Wait until ``words`` stand in what ``css`` finds."""
        self.sees(lambda: words in self.text(css), f"{words!r} in {css}")

    def arrives(self, url: str) -> None:
        """Wait until the browser is at an address."""
        self.sees(lambda: self.driver.current_url == url, url)

    def text(self, css: str) -> str:
        """What can be read there now."""
        return self._of(css, "element.innerText")

    def attribute(self, css: str, name: str) -> str:
        """An attribute of what ``css`` finds."""
        return self._of(css, f"element.getAttribute('{name}')")

    def shows(self, css: str) -> bool:
        """Whether the page has such an element, and it can be seen, now."""
        script = "return [...document.querySelectorAll(arguments[0])].some(element => element.checkVisibility())"
        return bool(self.evaluate(script, css))

    @property
    def source(self) -> str:
        """The page as it is now, scripts and attributes included."""
        return self.driver.page_source

    def script_errors(self) -> list[str]:
        """What scripts raised since the last time."""
        entries: list[dict[str, str]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]  # selenium's own
        return [entry["message"] for entry in entries if entry["source"] == "javascript"]

    def wider_than_the_screen(self) -> list[str]:
        """The elements that reach beyond the right edge, or that have to be scrolled sideways."""
        found: list[str] = self.evaluate(
            "const edge = document.documentElement.clientWidth;"
            "return [...document.querySelectorAll('*')]"
            ".filter(e => e.getBoundingClientRect().right > edge + 0.5 || e.scrollWidth > e.clientWidth + 1 &&"
            " getComputedStyle(e).display !== 'inline')"
            ".map(e => e.tagName + ' ' + e.textContent.slice(0, 40));"
        )
        return found

    def modules(self, css: str, count: int) -> list[list[int]]:
        """The pixels of what ``css`` finds, as the screen shows them: a grid of ``count`` by ``count``, 1 for dark."""
        picture = self.driver.find_element(By.CSS_SELECTOR, css).screenshot_as_base64
        found: list[list[int]] = self.evaluate(_MODULES, picture, count)
        return found

    def evaluate(self, script: str, *values: Any) -> Any:
        """What a script returns that runs in the page; ``values`` are its arguments."""
        return self.driver.execute_script(script, *values)

    def _of(self, css: str, expression: str) -> str:
        # At one go: between two questions a page may put a new element in the place of the old one.
        script = f"const element = document.querySelector(arguments[0]); return element && {expression}"
        found: str | None = self.evaluate(script, css)
        if found is None:
            raise NoSuchElementException(css)
        return found

    def _devtools(self, command: str, parameters: dict[str, Any]) -> None:
        self.driver.execute_cdp_cmd(command, parameters)
