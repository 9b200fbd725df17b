"""The frame of every page, and small pieces of HTML.

Everything that comes from outside is escaped: by :func:`text`, which also bounds its length, or else by ``escape``.
Control characters and invisible ones are escaped everywhere in a page.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import segno
from starlette.responses import HTMLResponse

from omipay_async.codes import Language
from omipay_async.sandbox.foreign import printable, visible

from .translations import translator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.requests import Request

    from .translations import Translate

_STYLE: Final = """
:root { color-scheme: light dark; --page: #f4f5f7; --panel: #fff; --text: #1d1f23; --soft: #565b63; --line: #d5d8dd;
  --button: #eceef1; --mark: #067a44; --paid: #056b3c; --fail: #b3261e; --link: #0b57d0; }
@media (prefers-color-scheme: dark) { :root { --page: #121316; --panel: #1d1f23; --text: #eceef1; --soft: #a9aeb7;
  --line: #3a3d44; --button: #33363d; --paid: #6dd58c; --fail: #ff8a80; --link: #8ab4f8; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 76rem; font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere;
  background: var(--page); color: var(--text); }
header { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; align-items: baseline; }
h1, .brand { font-size: 1.35rem; font-weight: 700; margin: 0; line-height: 1.3; }
h2 { font-size: 1.05rem; margin: 0 0 .5rem; } h1 + p { margin: .25rem 0 0; }
small, .soft, header span { color: var(--soft); } small { font-size: .85rem; } p { margin: .5rem 0; }
.languages { display: flex; gap: .75rem; margin-left: auto; }
.parts { display: flex; flex-wrap: wrap; gap: .25rem 1rem; margin: .5rem 0; } time { white-space: nowrap; }
.languages [aria-current] { color: var(--text); text-decoration: none; font-weight: 600; }
section, .card { background: var(--panel); border: 1px solid var(--line); border-radius: .75rem; }
section { padding: 1rem 1.25rem; margin: 1rem 0; }
.card { max-width: 24rem; margin: 1.5rem auto; padding: 1.5rem 1rem; }
.card h1, .card > p, .card #qr { text-align: center; } .amount { font-size: 2.2rem; font-weight: 600;
  line-height: 1.3; }
.card .languages { justify-content: center; margin: .75rem 0 0; font-size: .9rem; }
.card > small { display: block; text-align: center; }
.card #paid, .card #failed { font-size: 1.1rem; font-weight: 600; }
#qr svg { width: 100%; max-width: 15rem; border-radius: .5rem; background: #fff; shape-rendering: crispEdges; }
dl { display: grid; grid-template-columns: auto 1fr; gap: .35rem 1rem; margin: 1rem 0; font-size: .9rem; }
dt { color: var(--soft); } dd { margin: 0; } .card dl { font-size: .8rem; }
td { overflow-wrap: break-word; max-width: 15rem; } td:last-child { overflow-wrap: anywhere; max-width: none; }
.money, td button { white-space: nowrap; }
button, select, input { font: inherit; color: inherit; padding: .3rem .7rem; border-radius: .4rem; max-width: 100%;
  border: 1px solid var(--line); background: var(--button); }
input, select { background: var(--panel); } button { cursor: pointer; } button:hover { border-color: var(--soft); }
.card form { display: grid; gap: .5rem; margin-top: 1rem; } .card button { padding: .7rem; }
#pay, button[value=PAID] { background: var(--mark); color: #fff; border-color: transparent; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { text-align: left; padding: .45rem .75rem .45rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-size: .85rem; white-space: nowrap; } tbody tr:last-child td { border-bottom: 0; }
html:not(.copies) #copy { display: none; }
td form, dd form, main form, #live form { display: flex; flex-wrap: wrap; gap: .3rem; align-items: center; }
td button { padding: .1rem .6rem; } main form { margin: .5rem 0; } td form, dd form { margin: 0; }
.OK { color: var(--paid); font-weight: 600; } .FAIL { color: var(--fail); font-weight: 600; }
a { color: var(--link); } h1 a, .brand a { color: inherit; text-decoration: none; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
pre { overflow-x: auto; margin: .5rem 0; padding: .75rem; border: 1px solid var(--line); border-radius: .4rem;
  background: var(--page); white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; }
summary { cursor: pointer; padding: .2rem 0; } .pages { margin: 1rem 0; display: flex; gap: 1rem; }
ul { margin: .5rem 0; padding-left: 1.25rem; } .life { display: flex; flex-wrap: wrap; gap: 0 3rem; }
.life > :first-child { flex: 1 1 20rem; } .life > :last-child { text-align: center; flex: 0 1 auto; }
[role=search], [role=search] label { min-width: 0; } [role=search] input { min-width: 0; width: 14rem; }
main form[role=search] { flex-wrap: nowrap; white-space: nowrap; }
[role=search] label { display: flex; gap: .4rem; align-items: center; }
.life > :only-child { text-align: left; }
@media (max-width: 66rem) {
  table { font-size: .9rem; } thead { display: none; } tr { border-top: 1px solid var(--line); padding: .5rem 0; }
  tbody { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(18rem, 100%), 1fr)); gap: 0 2rem; }
  td { display: flex; gap: .75rem; border: 0; padding: .1rem 0; max-width: 100%; overflow-wrap: anywhere; }
  td:empty { display: none; } td time, td button { white-space: normal; }
  td::before { content: attr(data-head); flex: 0 0 5.6rem; font-size: .85rem; color: var(--soft); }
}
@media (max-width: 44rem) {
  section { padding: .75rem 1rem; } .languages { margin-left: 0; }
  .life > :last-child:not(:only-child) { flex: 1 1 100%; }
}
"""


_CURRENT: Final = ' aria-current="true"'


def page(title: str, body: str, language: str, *, status: int = 200) -> HTMLResponse:
    """A whole page; ``body`` is HTML, ``title`` is text."""
    tag = "en" if language == Language.EN else "zh-CN"
    html = (
        f'<!doctype html>\n<html lang="{tag}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{visible(body)}\n</body>\n</html>\n"
    )
    # A signed page's address is a live signature: it must not travel on to the merchant's page as its referrer.
    return HTMLResponse(html, status, {"Referrer-Policy": "same-origin", "X-Frame-Options": "DENY"})


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


def moment(shown: str) -> str:
    """A time, as text, that is not broken into two lines."""
    return f"<time>{escape(shown)}</time>"


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


def is_from_elsewhere(request: Request) -> bool:
    """Whether a page of another origin made the browser send this. Only our own buttons count."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.url.netloc
