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
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


_TIME_LIMIT_S = 10.0
PHONE, DESK = 375, 1200
"""The pixels from left to right of two usual screens."""
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

# Pages look for what is new every two seconds: here twenty times as often, to keep the tests short.
_ASK_OFTEN = "const original = setInterval; window.setInterval = (act, ms) => original(act, ms / 20);"
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

_CONTRAST = """
const parts = colour => (colour.match(/[\\d.]+/g) || []).map(Number);
const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
  .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, index) => sum + v * [0.2126, 0.7152, 0.0722][index], 0);
const behind = element => {
  for (let e = element; e; e = e.parentElement) {
    const colour = parts(getComputedStyle(e).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
const found = [];
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
  if (!own || !element.checkVisibility() || element.tagName === "SCRIPT") continue;
  const style = getComputedStyle(element);
  const [a, b] = [light(parts(style.color)), light(behind(element))].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < 4.5 || style.opacity !== "1") found.push(`${ratio.toFixed(2)} ${element.textContent.slice(0, 40)}`);
}
return found;
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
    """What a person at a screen does and sees. Each step waits until the page shows what it needs."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver
        driver.set_page_load_timeout(_TIME_LIMIT_S)
        self._devtools("Page.addScriptToEvaluateOnNewDocument", {"source": _ASK_OFTEN})

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
    def screen(self, width: int, *, dark: bool = False) -> Iterator[None]:
        """A screen of this many pixels from left to right, on a system that asks pages for light or dark colours."""
        mobile = width < 500
        size = {"width": width, "height": 900, "deviceScaleFactor": 2 if mobile else 1, "mobile": mobile}
        colours = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._devtools("Emulation.setDeviceMetricsOverride", size)
        self._devtools("Emulation.setEmulatedMedia", {"features": [colours]})
        try:
            yield
        finally:
            self._devtools("Emulation.setEmulatedMedia", {"features": []})
            self._devtools("Emulation.clearDeviceMetricsOverride", {})

    def type(self, *keys: str) -> str:
        """Press keys, wherever the focus is. Returns what has the focus then: its text, or its name."""
        ActionChains(self.driver).send_keys(*keys).perform()
        found: str = self.evaluate(
            "const e = document.activeElement; return e.innerText?.trim() || e.getAttribute('name') || e.tagName;"
        )
        return found

    @contextlib.contextmanager
    def without_scripts(self) -> Iterator[None]:
        """A browser in which pages may not run scripts."""
        self._devtools("Emulation.setScriptExecutionDisabled", {"value": True})
        try:
            yield
        finally:
            self._devtools("Emulation.setScriptExecutionDisabled", {"value": False})

    def leave(self) -> None:
        """Close the page, with its scripts."""
        self.open("about:blank")

    # -- seeing -----------------------------------------------------------------------------------------------------

    def sees(self, seen: Callable[[], object], what: str) -> None:
        """Wait until ``seen()`` is true; elements that are not there yet, or no longer, do not matter."""
        passing = (NoSuchElementException, StaleElementReferenceException)
        wait = WebDriverWait(self.driver, _TIME_LIMIT_S, poll_frequency=0.02, ignored_exceptions=passing)
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

    def hard_to_read(self) -> list[str]:
        """The texts whose contrast with what is behind them is below 4.5 to 1, by their computed colours."""
        found: list[str] = self.evaluate(_CONTRAST)
        return found

    def nameless(self) -> list[str]:
        """The controls that a screen reader could not name."""
        tree = self.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        roles = {"button", "link", "textbox", "searchbox", "combobox", "navigation", "region"}
        shown = [node for node in tree if not node["ignored"] and node["role"]["value"] in roles]
        assert shown
        return [node["role"]["value"] for node in shown if not node.get("name", {}).get("value", "").strip()]

    def modules(self, css: str, count: int) -> list[list[int]]:
        """The pixels of what ``css`` finds, as the screen shows them: a grid of ``count`` by ``count``, 1 for dark."""
        picture = self.driver.find_element(By.CSS_SELECTOR, css).screenshot_as_base64
        found: list[list[int]] = self.evaluate(_MODULES, picture, count)
        return found

    def evaluate(self, script: str, *values: Any) -> Any:
        """What a script returns that runs in the page; ``values`` are its arguments."""
        return self.driver.execute_script(script, *values)

    def _of(self, css: str, expression: str) -> str:
        # One script finds and reads: between two of them a page may replace the element.
        script = f"const element = document.querySelector(arguments[0]); return element && {expression}"
        found: str | None = self.evaluate(script, css)
        if found is None:
            raise NoSuchElementException(css)
        return found

    def _devtools(self, command: str, parameters: dict[str, Any]) -> None:
        self.driver.execute_cdp_cmd(command, parameters)
