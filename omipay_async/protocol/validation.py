"""Checks the caller's arguments and turns them into a query string, or raises :class:`InvalidRequest`. No I/O.

Every message names the parameter and what is wrong with it. No message shows a value, which may be a secret.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar
from urllib.parse import urlsplit

from omipay_async.codes import Platform, Safety
from omipay_async.errors import InvalidRequest
from omipay_async.options import checked_seconds
from omipay_async.text import Secret, bare, joined, percent_encoded, plain_text, plain_value

from .endpoints import (
    ENDPOINTS,
    LARGEST_INT,
    LONGEST_TEXT,
    MAKE_APP_ORDER,
    MISSPELT_NAMES,
    Endpoint,
    Kind,
    Parameter,
)
from .money import CURRENCY_CODE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from omipay_async.errors import Outcome

T = TypeVar("T")

_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_ENDPOINT_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*(/[A-Za-z][A-Za-z0-9_]*)*")
_LONGEST_QUERY: Final = 32 * 1024
_RESERVED_PARAMETERS: Final = {
    **dict.fromkeys(("m_number", "timestamp", "nonce_str", "sign"), "is added by the session"),
    "secret_key": "is never sent",
}
"""What no call may give, however it is spelt: a gateway may ignore case."""


def reject(parameter: str, what: str) -> NoReturn:
    """Raise an :class:`InvalidRequest` about ``parameter``; ``what`` is wrong with it."""
    message = f"{parameter} {what}"
    raise InvalidRequest(message, parameter=parameter)


@contextlib.contextmanager
def with_outcome(outcome: Outcome | None) -> Iterator[None]:
    """While open, an error of an argument has this ``outcome`` instead of NOT_DONE.

    It is for methods that move no money themselves: an order may be paid all the same, and a till charges again on
    NOT_DONE.
    """
    try:
        yield
    except InvalidRequest as error:
        raise error.with_outcome(outcome) from error.__cause__


def query(endpoint: Endpoint[Any], values: Mapping[str, Any]) -> Secret:
    """The parameters of a call as a query string: checked, and percent-encoded as UTF-8. It leaves out absent ones.

    It is a secret, since it may contain a payment code.

    Raises:
        InvalidRequest: for the first value that must not be sent.
    """
    parts = []
    for parameter in endpoint.parameters:
        value = values.get(parameter.name)
        if value is None and parameter.required:
            reject(parameter.name, "must be given")
        if value is None or (value is False and parameter.kind is Kind.FLAG):
            continue
        parts.append(joined(parameter.name, "=", _CHECKS[parameter.kind](parameter, value)))
    _check_together(endpoint, values)
    return _joined(parts)


def _joined(parts: list[Secret]) -> Secret:
    whole = Secret("&".join(parts))
    if len(whole) > _LONGEST_QUERY:
        reject(max(parts, key=len).partition("=")[0], "is too long: the whole request does not fit into a URL")
    return whole


def _check_together(endpoint: Endpoint[Any], values: Mapping[str, Any]) -> None:
    platform = values.get("platform")
    least = None if platform is None else endpoint.minimum_amounts.get(platform)
    if least is not None and values["amount"] < least:
        reject("amount", f"must be at least {least} when platform is {platform!s}")
    if endpoint is MAKE_APP_ORDER and platform == Platform.WECHATPAY and values.get("app_id") is None:
        reject("app_id", "must be given when platform is WECHATPAY")


def text(name: str, value: object) -> str:
    """``value`` if it is a string that may be sent: not blank, no control characters, no lone surrogates."""
    if not isinstance(value, str):
        forgotten = ": is an await missing?" if inspect.iscoroutine(value) else ""
        reject(name, f"must be a string, not {type(value).__name__}{forgotten}")
    content = value if type(value) is Secret else plain_text(value)
    if not bare(content):
        reject(name, "must not be empty")
    if len(content) > LONGEST_TEXT:
        reject(name, f"must not be longer than {LONGEST_TEXT} characters")
    if _UNPRINTABLE.search(content):
        reject(name, "must not contain control characters or lone surrogates")
    return content


def url(name: str, value: object) -> str:
    """``value`` if it is an absolute http or https URL."""
    address = text(name, value)
    if not _is_web_address(address) or any(character.isspace() for character in address):
        reject(name, "must be an absolute http or https URL")
    return address


def _is_web_address(address: str) -> bool:
    try:
        parts = urlsplit(address)
        # Browsers read a backslash as a slash: to them the host of http://evil.example\@shop.example/ is evil.example.
        plain = "\\" not in parts.netloc
        return plain and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def seconds(name: str, value: object, *, above: bool = False) -> float:
    """``value`` if it is a finite number of seconds of at least (or ``above``) 0."""
    return checked_seconds(value, functools.partial(reject, name), above=above)


def _text(parameter: Parameter, value: object) -> str:
    word = text(parameter.name, value)
    if parameter.choices and word not in parameter.choices:
        reject(parameter.name, f"must be one of {', '.join(parameter.choices)}")
    encoded = percent_encoded(word)
    return Secret(encoded) if parameter.secret else encoded


def _amount(parameter: Parameter, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int):
        reject(
            parameter.name, f"must be an int of minor units (A$1.00 is 100: see to_minor), not {type(value).__name__}"
        )
    if not 1 <= value <= LARGEST_INT:
        reject(parameter.name, "must be at least 1 minor unit" if value < 1 else f"must be at most {LARGEST_INT}")
    return f"{value:d}"


def _currency(parameter: Parameter, value: object) -> str:
    code = text(parameter.name, value)
    if not CURRENCY_CODE.fullmatch(code):
        reject(parameter.name, "must be three capital letters, such as AUD")
    return code


def _url(parameter: Parameter, value: object) -> str:
    return percent_encoded(url(parameter.name, value))


def _flag(parameter: Parameter, value: object) -> str:
    if value is not True:
        reject(parameter.name, f"must be True or False, not {type(value).__name__}")
    return "1"


_CHECKS: Final[dict[Kind, Callable[[Parameter, object], str]]] = {
    Kind.TEXT: _text,
    Kind.AMOUNT: _amount,
    Kind.CURRENCY: _currency,
    Kind.URL: _url,
    Kind.FLAG: _flag,
}


# -- AsyncOmipay.call: endpoints that this library does not know ------------------------------------------------------


def general_endpoint(name: object, safety: object) -> Endpoint[dict[str, Any]]:
    """The endpoint under ``/v2/`` for ``AsyncOmipay.call``.

    Raises:
        InvalidRequest: ``name`` is not a name; or it is a known endpoint that moves money, but is called as a read,
            which could be repeated.
    """
    if not isinstance(name, str) or not _ENDPOINT_NAME.fullmatch(plain_text(name)):
        reject("endpoint", "must be the name of an endpoint under /v2/, such as ConfirmCheckOut")
    name = plain_text(name)
    last = name.rpartition("/")[2].casefold()
    if last in _MISSPELT_NAMES:
        reject("endpoint", "is a mistake of the English document: the endpoint is called MakeQROrder")
    if not isinstance(safety, str) or plain_text(safety) not in tuple(Safety):
        reject("safety", "must be Safety.READ or Safety.MONEY")
    known = _KNOWN_ENDPOINTS.get(last, _UNDOCUMENTED)
    checked_safety = Safety(plain_text(safety))
    if known.safety is Safety.MONEY and checked_safety is Safety.READ:
        reject("safety", f"must be Safety.MONEY: {known.name} moves money")
    return Endpoint(
        name,
        checked_safety,
        (),
        reply=dict,
        echoes=known.echoes,
        foreign_number=known.foreign_number,
        own_numbers=known.own_numbers,
        contradictions=known.contradictions,
        needs_return_code=False,
    )


# Without regard to case: a gateway may accept other spellings of an endpoint that moves money.
_KNOWN_ENDPOINTS: Final = {name.casefold(): endpoint for name, endpoint in ENDPOINTS.items()}
_MISSPELT_NAMES: Final = frozenset(map(str.casefold, MISSPELT_NAMES))
# It may be called as a read. In its reply only the merchant's own numbers are certainly those of this call.
_UNDOCUMENTED: Final[Endpoint[Any]] = Endpoint(
    "call", Safety.READ, (), reply=dict, echoes=("out_order_no", "out_refund_no")
)


def rejected_endpoint(safety: object) -> Endpoint[dict[str, Any]]:
    """The endpoint in reports of a call whose own endpoint was rejected."""
    is_read = isinstance(safety, str) and plain_text(safety) == Safety.READ
    return Endpoint("call", Safety.READ if is_read else Safety.MONEY, (), reply=dict)


def general_query(params: object) -> tuple[Secret, bool]:
    """The query string of ``AsyncOmipay.call``, and whether it contains a ``language``."""
    if not isinstance(params, Mapping):
        reject("params", f"must be a mapping, not {type(params).__name__}")
    parts = []
    has_language = False
    for name, given in params.items():
        value = plain_value(given)
        if not isinstance(name, str) or not (name := plain_text(name)).isidentifier() or not name.isascii():
            reject("params", "must have parameter names as keys")
        if (reason := _RESERVED_PARAMETERS.get(name.casefold())) is not None:
            reject(f"params[{name!r}]", reason)
        if value is not None:
            parts.append(joined(name, "=", _general_value(name, value)))
            has_language = has_language or name.casefold() == "language"
    return _joined(parts), has_language


def _general_value(name: str, value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) > LARGEST_INT:
            reject(f"params[{name!r}]", f"must be from {-LARGEST_INT} to {LARGEST_INT}")
        return f"{value:d}"
    if not isinstance(value, str):
        reject(f"params[{name!r}]", f"must be a string or an int, not {type(value).__name__}")
    return percent_encoded(text(f"params[{name!r}]", value))
