"""Parses the query string of a request, and compares its parameters with the table of endpoints. No I/O.

It accepts what the documents' own examples have (a space after ``?``, an empty pair, the same parameter twice, any
order, a ``notify_url`` without a scheme), and nothing more.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes

import attrs

from omipay_async.codes import Currency, ErrorCode, Language
from omipay_async.language import sentence
from omipay_async.protocol.endpoints import Endpoint, Kind, Parameter

from .auth import FIELDS
from .errors import ErrorReply, invalid
from .foreign import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from omipay_async.language import Sentence

    from .merchants import Merchant

# Limits for what is kept of a request, because strangers may send anything.
_MOST_REMARKS: Final = 20
_MOST_FIELDS: Final = 50
_LONGEST_NAME: Final = 64
_LONGEST_VALUE: Final = 2048

_AMOUNT: Final = re.compile(r"[0-9]{1,18}")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


@attrs.frozen
class ValidRequest:
    """A request that passed every check, with the parameters that its endpoint has.

    ``base_url`` is the address that the caller used.
    """

    endpoint: Endpoint[Any]
    merchant: Merchant
    fields: Mapping[str, str]
    base_url: str

    def get(self, name: str, default: str = "") -> str:
        """A parameter's value."""
        return self.fields.get(name) or default

    @property
    def amount(self) -> int:
        """The amount in minor units."""
        return int(self.fields["amount"])


def parse_query(query: bytes) -> dict[str, str]:
    """The parameters of a query string.

    Raises :class:`ErrorReply` for a query string that is not UTF-8, and for a parameter that comes twice with
    different values.
    """
    fields: dict[str, str] = {}
    for name, value in _pairs(query):
        if fields.setdefault(name, value) != value:
            raise invalid(sentence("{} comes twice, with different values", printable(name, 40)))
    return fields


def _pairs(query: bytes) -> Iterator[tuple[str, str]]:
    for pair in query.split(b"&"):
        name, _, value = pair.partition(b"=")
        try:
            key = _text(name).strip()
            if key:
                yield key, _text(value)
        except UnicodeDecodeError:
            raise invalid(sentence("the query string is not UTF-8")) from None


def _text(part: bytes) -> str:
    return unquote_to_bytes(part.replace(b"+", b" ")).decode()


def absolute(url: str) -> str:
    """A merchant's URL with its scheme, which the documents' examples leave out."""
    url = url.strip()
    return url if url.lower().startswith(("http://", "https://")) else f"http://{url}"


def language_of(endpoint: Endpoint[Any], fields: Mapping[str, str]) -> str:
    """The language to answer in; :func:`check` refuses an unknown one."""
    language = fields.get("language") if endpoint.takes_language else None
    return language or Language.CHS


def check(endpoint: Endpoint[Any], fields: Mapping[str, str]) -> None:
    """Compare the parameters with the table. Raises :class:`ErrorReply` with the documented code."""
    for parameter in endpoint.parameters:
        value = fields.get(parameter.name, "")
        if value:
            _check_value(endpoint, parameter, value)
        elif parameter.required:
            raise invalid(sentence("{} is missing", parameter.name))
    if language_of(endpoint, fields) not in set(Language):
        raise invalid(sentence("language is neither {} nor {}", Language.EN, Language.CHS))
    _check_minimum(endpoint, fields)


def _check_value(endpoint: Endpoint[Any], parameter: Parameter, value: str) -> None:
    name = parameter.name
    if _CONTROL.search(value):
        raise invalid(sentence("{} holds a control character", name))
    if parameter.choices and value not in parameter.choices:
        raise invalid(sentence("{} is not one of {}", name, ", ".join(parameter.choices)))
    if parameter.kind is Kind.AMOUNT and (not _AMOUNT.fullmatch(value) or int(value) < 1):
        raise invalid(sentence("{} is not a whole number of minor units of at least 1", name))
    if parameter.kind is Kind.FLAG and value != "1":
        raise invalid(sentence("{} is not 1", name))
    if parameter.kind is Kind.CURRENCY:
        _check_currency(endpoint, name, value)


def _check_currency(endpoint: Endpoint[Any], name: str, value: str) -> None:
    if ErrorCode.CURRENCY_ERROR in endpoint.error_codes:
        if not _CURRENCY.fullmatch(value):
            raise ErrorReply(ErrorCode.CURRENCY_ERROR, sentence("{} is not an ISO 4217 code", name))
    elif value not in set(Currency):
        raise invalid(sentence("{} is neither AUD nor CNY", name))


def _check_minimum(endpoint: Endpoint[Any], fields: Mapping[str, str]) -> None:
    minimum = endpoint.minimum_amounts.get(fields.get("platform", ""), 1)
    if minimum > 1 and int(fields["amount"]) < minimum:
        raise invalid(sentence("amount is below {}, the least for this platform", minimum))


def known(endpoint: Endpoint[Any], fields: Mapping[str, str]) -> dict[str, str]:
    """The parameters that the endpoint has. The others change nothing."""
    names = {parameter.name for parameter in endpoint.parameters} | ({"language"} if endpoint.takes_language else set())
    return {name: value for name, value in fields.items() if name in names}


def unknown_parameters(endpoint: Endpoint[Any], fields: Mapping[str, str]) -> list[Sentence]:
    """Remarks for developers on the parameters that the endpoint does not have, which are not an error."""
    expected = {*known(endpoint, fields), *FIELDS}
    unknown = [name for name in fields if name not in expected]
    return [sentence("unknown parameter {}", printable(name, 40)) for name in unknown[:_MOST_REMARKS]]


def loggable(endpoint: Endpoint[Any], fields: Mapping[str, str]) -> dict[str, str]:
    """The parameters that may be shown: all but the signature, the live nonce and the customer's secrets."""
    hidden = {parameter.name for parameter in endpoint.parameters if parameter.secret} | {"sign", "nonce_str"}
    shown = [(name, value) for name, value in fields.items() if name not in hidden][:_MOST_FIELDS]
    return {name[:_LONGEST_NAME]: value[:_LONGEST_VALUE] for name, value in shown}
