"""The QR codes of orders, read back from the drawings, module by module."""

from __future__ import annotations

import io
import re
import sys
import zlib
from typing import TYPE_CHECKING, Any

import pytest
import segno

from omipay_async import ConfigurationError, InvalidRequest, JSAPIOrder, OmipayError, OnlineOrder, QROrder

if TYPE_CHECKING:
    from collections.abc import Iterable

CODE = "https://qr.alipay.com/bax00000000000000000000"
PAGE = "https://www.omipay.com.au/Omipay/pay/qrpay?paycode=TR1812060010011263009795"
QUIET = 4

Modules = set[tuple[int, int]]


def dark_modules(text: str) -> Modules:
    """Column and row of each dark module of the code that ``text`` makes, within its quiet zone."""
    matrix = segno.make(text, error="m", micro=False).matrix
    return {(x + QUIET, y + QUIET) for y, row in enumerate(matrix) for x, module in enumerate(row) if module}


def in_svg(svg: str) -> Modules:
    """The dark modules of an SVG whose strokes are one module high."""
    strokes = next(d for d in re.findall(r' d="([^"]+)"', svg) if d.endswith(tuple("0123456789")) and "h" in d)
    x = y = 0.0
    dark: Modules = set()
    for kind, arguments in re.findall(r"([Mmh])([-0-9. ]+)", strokes):
        numbers = [float(number) for number in arguments.split()]
        if kind == "h":
            dark |= {(int(x) + step, int(y)) for step in range(int(numbers[0]))}
            x += numbers[0]
        else:
            x, y = (numbers[0], numbers[1]) if kind == "M" else (x + numbers[0], y + numbers[1])
    return dark


def in_terminal(drawing: str) -> Modules:
    """The dark modules of block characters that are light on black."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", drawing).splitlines()
    halves = {" ": (0, 1), "▀": (1,), "▄": (0,), "█": ()}
    return {(x, 2 * y + half) for y, line in enumerate(lines) for x, block in enumerate(line) for half in halves[block]}


def in_png(png: bytes) -> Modules:
    """The dark modules of a PNG with one pixel a module and one bit a pixel."""
    width = int.from_bytes(png[16:20])
    data = b"".join(re.findall(rb"IDAT(.+?).{4}\x00\x00\x00\x00IEND", png, re.DOTALL))
    rows = zlib.decompress(data)
    size = (width + 7) // 8 + 1
    assert {rows[start] for start in range(0, len(rows), size)} == {0}, "no row is filtered"
    pixels: Iterable[str] = (
        "".join(f"{byte:08b}" for byte in rows[start + 1 : start + size])[:width] for start in range(0, len(rows), size)
    )
    return {(x, y) for y, row in enumerate(pixels) for x, pixel in enumerate(row) if pixel == "0"}


ORDERS = [
    pytest.param(QROrder("TR1", CODE, PAGE), CODE, id="the code of a QR order"),
    pytest.param(QROrder("TR1", None, PAGE), PAGE, id="the page of a QR order without a code"),
    pytest.param(JSAPIOrder("TR1", PAGE), PAGE, id="the page of a JSAPI order"),
    pytest.param(OnlineOrder("TR1", PAGE), PAGE, id="the page of an online order"),
]


@pytest.mark.parametrize(("order", "text"), ORDERS)
def test_each_drawing_contains_what_the_customer_scans(order: QROrder, text: str) -> None:
    """SVG, PNG and terminal contain the order's code, or its page if it has none."""
    expected = dark_modules(text)
    assert in_svg(order.qr_svg()) == expected
    assert in_png(order.qr_png(scale=1)) == expected
    # Below an odd number of rows there is half a line, which must not be taken for dark modules.
    size = max(y for _, y in expected) + QUIET + 1
    assert {(x, y) for x, y in in_terminal(order.qr_terminal()) if y < size} == expected


def test_an_svg_can_be_a_file_and_a_part_of_a_page() -> None:
    """It has a namespace for files, no XML declaration for HTML, and a white background."""
    svg = QROrder("TR1", CODE).qr_svg(scale=3)
    assert svg.startswith("<svg ")
    assert 'xmlns="http://www.w3.org/2000/svg"' in svg
    assert "#fff" in svg
    side = 3 * (segno.make(CODE, error="m", micro=False).symbol_size(border=QUIET)[0])
    assert f'width="{side}"' in svg


def test_the_size_of_a_png() -> None:
    """``scale`` is in pixels a module."""
    small, large = (QROrder("TR1", CODE).qr_png(scale=scale) for scale in (2, 8))
    assert int.from_bytes(large[16:20]) == 4 * int.from_bytes(small[16:20])


@pytest.mark.parametrize("scale", [0, -1, 101, 10**9, 1.5, "8", None, True])
@pytest.mark.parametrize("draw", ["qr_svg", "qr_png"])
def test_a_scale_that_cannot_be_drawn_is_refused(draw: str, scale: Any) -> None:
    """It may come from a web page's visitor: no picture fills the memory."""
    with pytest.raises(OmipayError, match="scale must be an int from 1 to 100") as caught:
        getattr(QROrder("TR1", CODE), draw)(scale=scale)
    assert (type(caught.value), caught.value.outcome) == (InvalidRequest, None)
    assert getattr(QROrder("TR1", CODE), draw)(scale=100)


def test_a_terminal_s_theme_does_not_matter() -> None:
    """Each line sets both colours and resets them, so that a light theme does not invert the code."""
    for line in QROrder("TR1", CODE).qr_terminal().splitlines():
        assert re.fullmatch(r"\x1b\[38;5;231;48;5;16m[ ▀▄█]+\x1b\[0m", line)


@pytest.mark.parametrize("draw", ["qr_svg", "qr_png", "qr_terminal"])
def test_an_order_without_a_code_is_an_error(draw: str) -> None:
    """No empty picture is made."""
    with pytest.raises(InvalidRequest, match=r"order TR1 .* neither a qrcode nor a pay_url") as caught:
        getattr(QROrder("TR1"), draw)()
    assert caught.value.parameter == "order"
    assert caught.value.outcome is None, "the order may be paid in another way"


def test_a_code_that_is_too_long_is_refused_without_being_shown() -> None:
    """The error is not segno's, and does not show the code."""
    with pytest.raises(InvalidRequest, match="no QR code holds this text of 5000 characters") as caught:
        QROrder("TR1", "x" * 5_000).qr_svg()
    assert "xx" not in str(caught.value)
    assert caught.value.outcome is None


def test_without_the_extra_the_error_shows_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing needs an extra."""
    monkeypatch.setitem(sys.modules, "segno", None)
    with pytest.raises(ConfigurationError, match=re.escape('pip install "omipay-async[qr]"')):
        QROrder("TR1", CODE).qr_terminal()


def test_orders_that_can_be_drawn_are_ordinary_models() -> None:
    """They are frozen and slotted, and their repr does not show the code."""
    order = QROrder("TR1", CODE)
    assert order == QROrder("TR1", CODE)
    assert not hasattr(order, "__dict__")
    assert CODE not in repr(order)
    assert io.BytesIO(order.qr_png()).read(4) == b"\x89PNG"
