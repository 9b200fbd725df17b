"""The frame of every page, and small pieces of HTML. Everything that comes from outside is escaped here."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import segno
from starlette.responses import HTMLResponse

from omipay_async.codes import Language

from .translations import translator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.requests import Request

    from .translations import Translate

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8888; --mark: #067a44; --fail: #b3261e; --link: #0b57d0; }
@media (prefers-color-scheme: dark) { :root { --fail: #ff8a80; --link: #8ab4f8; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 72rem; font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
header { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; align-items: baseline; }
h1 { font-size: 1.3rem; margin: 0; } h2 { font-size: 1.05rem; margin: 1.5rem 0 .5rem; } small { opacity: .8; }
.card { max-width: 24rem; margin: 1rem auto; padding: 1.25rem; border: 1px solid var(--line); border-radius: .75rem; }
.card h1, .card p, #qr { text-align: center; } .amount { font-size: 2rem; margin: .5rem 0; }
#qr svg { width: 100%; max-width: 15rem; background: #fff; shape-rendering: crispEdges; }
dl { display: grid; grid-template-columns: auto 1fr; gap: .25rem 1rem; margin: 1rem 0; font-size: .9rem; }
dd { margin: 0; } td { overflow-wrap: break-word; max-width: 28rem; }
button, select { font: inherit; padding: .3rem .7rem; border-radius: .4rem; border: 1px solid var(--line); }
.card form { display: grid; gap: .5rem; } .card button { padding: .7rem; }
#pay { background: var(--mark); color: #fff; border-color: transparent; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
td form { display: flex; flex-wrap: wrap; gap: .25rem; }
.FAIL { color: var(--fail); } a { color: var(--link); } h1 a { color: inherit; text-decoration: none; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
pre { overflow-x: auto; padding: .75rem; border: 1px solid var(--line); border-radius: .4rem; white-space: pre-wrap;
  overflow-wrap: anywhere; font-size: .85rem; }
input { font: inherit; padding: .3rem .6rem; border-radius: .4rem; border: 1px solid var(--line); max-width: 100%; }
th { white-space: nowrap; }
main > form, #live > form { margin: .5rem 0; display: flex; flex-wrap: wrap; gap: .4rem; }
summary { cursor: pointer; padding: .2rem 0; } select { max-width: 100%; }
main #qr { text-align: left; } .pages { margin: 1rem 0; } main dl form { display: flex; flex-wrap: wrap; gap: .25rem; }
@media (max-width: 44rem) {
  thead { display: none; } tr { display: block; border-bottom: 1px solid var(--line); padding: .4rem 0; }
  td { display: flex; gap: .75rem; border: 0; padding: .1rem 0; max-width: 100%; overflow-wrap: anywhere;
    font-size: .9rem; }
  td:empty { display: none; }
  td::before { content: attr(data-head); flex: 0 0 6rem; font-size: .8rem; opacity: .8; }
}
"""


def page(title: str, body: str, language: str, *, status: int = 200) -> HTMLResponse:
    """A whole page; ``body`` is HTML, ``title`` is text."""
    tag = "en" if language == Language.EN else "zh-CN"
    html = (
        f'<!doctype html>\n<html lang="{tag}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )
    # A signed page's address is a live signature: it must not travel on to the merchant's page as its referrer.
    return HTMLResponse(html, status, {"Referrer-Policy": "same-origin", "X-Frame-Options": "DENY"})


def languages(translate: Translate, link: Callable[[str], str]) -> str:
    """Links to this page in each language; ``link`` makes the address for ``en`` and ``zh``."""
    names = {"en": ("en", "English"), "zh": ("zh-CN", "中文")}
    links = " ".join(
        f'<a href="{escape(link(name))}" lang="{tag}" hreflang="{tag}">{text}</a>'
        for name, (tag, text) in names.items()
    )
    return f'<nav class="languages" aria-label="{translate("Language")}">{links}</nav>'


def problem(language: str, reason: str, *, status: int) -> HTMLResponse:
    """A page that says why there is no page."""
    title = translator(language)("This page cannot be shown")
    body = f'<main class="card"><h1>{escape(title)}</h1><p id="problem">{escape(reason)}</p></main>'
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


def money(amount: int, currency: str) -> str:
    """An amount as people write it: both currencies of orders have two decimals."""
    return f"{amount // 100}.{amount % 100:02d} {escape(currency)}"


def is_from_elsewhere(request: Request) -> bool:
    """Whether a page of another origin makes the browser send this: nobody's buttons but our own count."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.url.netloc
