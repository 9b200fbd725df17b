"""The URLs for the customer's browser: signed pay pages (CN 3.2, 3.3) and WeChat login (EN 2.9). No network.

Anybody who sees a signed URL can use its signature for five minutes, on any endpoint (it does not cover the endpoint).
So make one only when the browser goes there now.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

from omipay_async.errors import APIError, InvalidReply, OmipayError
from omipay_async.models import WeChatUser
from omipay_async.new_orders import JSAPIOrder, QROrder
from omipay_async.text import Secret, joined, percent_encoded, plain_text, printable

from . import validation
from .context import RequestContext
from .conversion import in_documented_case
from .decoding import meaning_of
from .endpoints import GET_USER_INFO
from .fields import word_of
from .jsontext import fields_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from .conversion import ModelConverter


def pay_page(
    order_or_url: QROrder | JSAPIOrder | str,
    nodes: Collection[str],
    signed_query: Callable[[], str],
    redirect_url: object,
) -> str:
    """The URL of an order's page that needs a signature, with the signature and ``redirect_url`` appended.

    The page must be https, or on the host of one of the ``nodes``: anybody else who receives a signature in plain text
    could use it.

    Raises:
        InvalidRequest: the order does not have such a page, the page must not get a signature, or ``redirect_url`` is
            not a URL.
    """
    page = validation.url("order_or_url", _page_of(order_or_url))
    parts = urlsplit(page)
    if parts.scheme != "https" and parts.hostname not in {urlsplit(node).hostname for node in nodes}:
        validation.reject("order_or_url", "must be https, or on the host of the session's node")
    target = percent_encoded(validation.url("redirect_url", redirect_url))
    address, _, fragment = page.partition("#")
    joint = "?" if "?" not in address else "" if address.endswith(("?", "&")) else "&"
    end = f"&redirect_url={target}{'#' if fragment else ''}{fragment}"
    return plain_text(joined(address, joint, signed_query(), end))


def _page_of(order_or_url: QROrder | JSAPIOrder | str) -> str:
    match order_or_url:
        case str():
            return order_or_url
        case QROrder(pay_url=page):
            missing = "pay_url: the gateway's reply left it out"
        case JSAPIOrder(pc_pay_url=page):
            missing = "pc_pay_url: make the order with show_pc_pay_url=True"
        case _:
            why = "must be a QROrder, a JSAPIOrder or a URL: no other order has a page to sign"
            validation.reject("order_or_url", why)
    if page is None:
        validation.reject("order_or_url", f"has no {missing} (order_no {printable(order_or_url.order_no)})")
    return page


def login_page(base_url: str, signed_query: Callable[[], str], redirect_uri: object) -> str:
    """The URL at which a customer logs in; ``base_url`` is that of the node."""
    query = validation.query(GET_USER_INFO, {"redirect_uri": redirect_uri})
    return plain_text(joined(base_url, GET_USER_INFO.path, "?", query, "&", signed_query()))


_LARGEST_QUERY: Final = 64 * 1024
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|/")


def parse_wechat_login(url_or_query: object, converter: ModelConverter) -> WeChatUser:
    """Who logged in, from the URL that the gateway redirected the browser to (or its query string).

    It is read as a reply to GetUserInfo is, but an ``error_code`` without anything else is a refusal, too.

    Raises:
        APIError: the fields report a failure.
        InvalidReply: they do not name a user, or contradict each other.
    """
    login = _login(url_or_query, converter)
    if isinstance(login, OmipayError):
        raise login  # from a frame in which no openid can be seen
    return login


def _login(url_or_query: object, converter: ModelConverter) -> WeChatUser | APIError | InvalidReply:
    fields = _query_fields(url_or_query)
    raw = dict(fields)
    if word_of(fields, "error_code") and not (word_of(fields, "return_code") or word_of(fields, "openid")):
        fields["return_code"] = "FAIL"
    try:
        login: WeChatUser | APIError = meaning_of(RequestContext(GET_USER_INFO), fields, converter)
    except ValueError as error:
        message = f"{GET_USER_INFO.name}: the redirect cannot be used: {error}"
        return InvalidReply(message, endpoint=GET_USER_INFO.name, raw=raw)
    if isinstance(login, APIError):
        login.raw = raw  # without the verdict that was added
    return login


def _query_fields(url_or_query: object) -> dict[str, Any]:
    if not isinstance(url_or_query, str):
        validation.reject("url_or_query", f"must be a string, not {type(url_or_query).__name__}")
    query = _query_of(url_or_query)
    if len(query) > _LARGEST_QUERY:
        validation.reject("url_or_query", f"must not have a query of more than {_LARGEST_QUERY} characters")
    return in_documented_case(fields_of(parse_qsl(plain_text(query), keep_blank_values=True)), WeChatUser)


def _query_of(url_or_query: str) -> Secret:
    query = plain_text(url_or_query).strip()
    address, mark, rest = query.partition("?")
    # A query string may hold a URL that nobody encoded, with a "?" of its own: then a "=" comes before it.
    if _URL.match(query) or (mark and "=" not in address):
        query = rest
    return Secret(query.partition("#")[0].lstrip("?"))
