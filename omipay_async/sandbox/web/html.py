"""The frame of every page, and small pieces of HTML.

Everything that comes from outside is escaped: by :func:`text`, which also bounds its length, or else by ``escape``.
Control characters and invisible ones are escaped everywhere in a page.
"""

from __future__ import annotations

from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import segno
from starlette.responses import HTMLResponse

from omipay_async.codes import Language
from omipay_async.sandbox.foreign import printable, visible
from omipay_async.sandbox.times import shown_time

from .translations import translator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .translations import Translate

_STYLE: Final = files(__package__).joinpath("page.css").read_text("utf-8")

_CURRENT: Final = ' aria-current="true"'


def page(title: str, body: str, language: str, *, status: int = 200) -> HTMLResponse:
    """A whole page; ``body`` is HTML, ``title`` is text."""
    tag = "en" if language == Language.EN else "zh-CN"
    html = (
        f'<!doctype html>\n<html lang="{tag}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n{visible(body)}\n</body>\n</html>\n"
    )
    # A signed page's address is a live signature: it must not travel on to the merchant's page as its referrer.
    return HTMLResponse(html, status, {"Referrer-Policy": "same-origin", "X-Frame-Options": "DENY"})


def script(name: str) -> str:
    """The script of this name beside this module, to stand in a page."""
    return f"<script>\n{files(__package__).joinpath(name).read_text('utf-8')}</script>"


def text(foreign: object, limit: int = 200) -> str:
    """The beginning of what somebody else wrote, on one line."""
    return escape(printable(foreign, limit))


def languages(translate: Translate, link: Callable[[str], str], now: str) -> str:
    """Links to this page in each language; ``link`` makes the address for ``en`` and ``zh``, ``now`` is this one's."""
    names = {"en": ("en", "English"), "zh": ("zh-CN", "中文")}
    links = " ".join(
        f'<a href="{escape(link(name))}" lang="{tag}" hreflang="{tag}"{_CURRENT if name == now else ""}>{text}</a>'
        for name, (tag, text) in names.items()
    )
    return f'<nav class="languages" aria-label="{translate("Language")}">{links}</nav>'


def section(title: str, content: str, anchor: str = "") -> str:
    """A part of a page under a heading; ``title`` is text, ``content`` is HTML, a link to ``#anchor`` leads to it."""
    name = f' id="{anchor}"' if anchor else ""
    return f"<section{name}><h2>{escape(title)}</h2>{content}</section>"


def anchor(title: str) -> str:
    """The anchor of the part of a page that has this English title."""
    return title.lower().replace(" ", "-")


def parts(label: str, links: Iterable[tuple[str, str]]) -> str:
    """Links to the parts of a long page, given the anchor and the title of each."""
    each = " ".join(f'<a href="#{anchor}">{escape(title)}</a>' for anchor, title in links)
    return f'<nav class="parts" aria-label="{escape(label)}">{each}</nav>'


def moment(time_ms: int) -> str:
    """A time, which is not broken into two lines."""
    return f"<time>{shown_time(time_ms)}</time>"


def toned(word: str, *, good: bool, bad: bool) -> str:
    """A status or an answer, in green if it is good and in red if it is bad."""
    tone = "FAIL" if bad else "OK" if good else ""
    return f'<span class="{tone}">{escape(word)}</span>'


def problem(language: str, reason: str, *, status: int, links: str = "") -> HTMLResponse:
    """A page that says why there is no page. ``links`` are HTML: where to go instead."""
    title = translator(language)("This page cannot be shown")
    body = f'<main class="card"><h1>{escape(title)}</h1><p id="problem">{escape(reason)}</p>{links}</main>'
    return page(title, body, language, status=status)


def table(heads: Iterable[str], rows: Iterable[Iterable[str]], empty: str) -> str:
    """A table. Cells are HTML, heads and ``empty`` are text."""
    names = [escape(text) for text in heads]
    body = "".join(f"<tr>{''.join(map(_cell, names, row))}</tr>" for row in rows)
    if not body:
        return f"<p><small>{escape(empty)}</small></p>"
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(name: str, content: str) -> str:
    # On a phone the columns stand below each other, each with its name before it.
    return f'<td data-head="{name}">{content}</td>'


def buttons(name: str, number: str, action: str, labels: Iterable[tuple[str, str]]) -> str:
    """A form with a button for each value of ``action``, about the order or refund of this number. Labels are text."""
    each = "".join(
        f'<button name="{action}" value="{escape(value)}">{escape(label)}</button>' for value, label in labels
    )
    hidden = f'<input type="hidden" name="{name}" value="{escape(number)}">'
    return f'<form method="post">{hidden}{each}</form>' if each else ""


def qr(text: str) -> str:
    """A QR code, as an SVG within the page."""
    # Without a size of its own the drawing is scaled to the screen; with one, a narrow screen would cut it off.
    drawing = segno.make(text, error="m", micro=False).svg_inline(border=4, omitsize=True)
    return f'<div id="qr" data-text="{escape(text)}">{drawing}</div>'


def tag(language: str) -> str:
    """The name of a language in links: ``en`` or ``zh``."""
    return "en" if language == Language.EN else "zh"


def money(amount: int, currency: str) -> str:
    """An amount as people write it, which is not broken into two lines. All currencies of orders have two decimals."""
    return f'<span class="money">{amount // 100}.{amount % 100:02d} {escape(currency)}</span>'
