"""``omipay doctor``: checks each step on the way to the gateway, with advice where one fails.

Only one request is signed, for an exchange rate. The gateway's time is read from an unsigned HEAD request.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import attrs
import httpx

from omipay_async.clock import SystemClock
from omipay_async.codes import ErrorCode, Region
from omipay_async.config import is_loopback
from omipay_async.errors import (
    APIError,
    AuthenticationError,
    ConfigurationError,
    GatewayError,
    InvalidReply,
    TransportError,
)
from omipay_async.language import sentence
from omipay_async.protocol.http_date import HALF_A_SECOND_MS, parse_http_date
from omipay_async.protocol.reply import Received
from omipay_async.transport.evidence import meaning, system_error
from omipay_async.transport.network import addresses_of, open_socket
from omipay_async.transport.proxies import Proxies
from omipay_async.transport.requests import to_url
from omipay_async.transport.tls import ssl_context

from . import notify_check
from .exit_codes import Exit
from .formatting import in_columns, plain
from .runner import Run, complain
from .translations import localized

if TYPE_CHECKING:
    from collections.abc import Callable
    from urllib.parse import SplitResult

    from omipay_async.clock import Clock
    from omipay_async.session import AsyncOmipay

_CONFIGURATION: Final = sentence("configuration")
_NOTIFICATION: Final = sentence("notification")
_CLOCK: Final = sentence("clock")
_KEY: Final = sentence("key")
_TIMEOUT_S: Final = 10.0
_LARGEST_OFFSET_S: Final = 60.0
"""The gateway rejects five minutes (CN 2.1). A clock that is one minute off is not set by NTP, and may get there."""
_OVERLOADED: Final = 429
"""From this HTTP status on the address may well be right: the gateway is overloaded, or out of order."""

_KEY_ADVICE: Final[dict[str, str]] = {
    ErrorCode.SIGN_ERROR: sentence(
        "OMIPAY_SECRET_KEY is not this merchant's key: copy it again, without spaces or quotes"
    ),
    ErrorCode.SIGN_TIMEOUT: sentence("let NTP set this machine's clock"),
    ErrorCode.MERCHANTNO_INVALID: sentence("OMIPAY_M_NUMBER is not a merchant's number: check its leading zeros"),
    ErrorCode.MERCHANTNO_DISABLE: sentence("the merchant is disabled: ask Omipay"),
}


@attrs.frozen
class Finding:
    """The result of one check. ``ok`` is None if it could not be made."""

    name: str
    ok: bool | None
    detail: str
    advice: str = ""
    exit_code: Exit = Exit.DONE

    def line(self) -> str:
        """The line for people."""
        word: str = {True: sentence("ok"), False: sentence("failed"), None: "?"}[self.ok]
        text = sentence("{}; {}", self.detail, self.advice) if self.advice else self.detail
        return in_columns(self.name, word, text, width=13)


def doctor(run: Run, *, notify: bool = False) -> Exit:
    """Check the way to the gateway step by step, and with ``notify`` also the notify_url."""
    findings: list[Finding] = []

    def found(finding: Finding) -> bool:
        findings.append(finding)
        run.say(finding.line())
        return finding.ok is not False

    try:
        run.ask(lambda omipay: _examine(omipay, found, run.secret_key() if notify else None))
    except ConfigurationError as error:
        advice = sentence("omipay --help lists the environment variables")
        found(Finding(_CONFIGURATION, False, str(error), advice, Exit.BAD_INPUT))
    bad = next((finding for finding in findings if finding.ok is False), None)
    if run.json:
        run.show({"ok": bad is None, "checks": [attrs.asdict(finding) for finding in findings]})
    if bad is None:
        return Exit.DONE
    complain(plain(localized(sentence("{}: {}", bad.name, bad.detail))))
    return bad.exit_code


async def _examine(omipay: AsyncOmipay, found: Callable[[Finding], bool], notify_key: str | None) -> None:
    region = os.environ.get("OMIPAY_REGION", "").strip() or Region.AU
    base_url = os.environ.get("OMIPAY_BASE_URL", "").strip() or Region(region).base_url
    found(Finding(_CONFIGURATION, True, sentence("merchant {}, {}", omipay.m_number, base_url)))
    url = os.environ.get("OMIPAY_NOTIFY_URL", "").strip()
    found(notify_url(url, base_url))
    if notify_key is not None:
        found(await notification(omipay.http, url, omipay.m_number, notify_key, SystemClock()))
    address = urlsplit(base_url)
    if Proxies(None, from_environment=True).of(to_url(base_url)) is not None:  # the proxy looks up the name
        found(Finding("DNS, TLS", None, sentence("not checked: the environment sets a proxy for this address")))
    elif not (found(await dns(address)) and found(await tls(address, ssl_context(True)))):
        return
    found(await clock(omipay.http, base_url, SystemClock()))
    found(await key(omipay))


def notify_url(url: str, base_url: str) -> Finding:
    """Whether a notify_url is set, and not one that only this machine can reach while the gateway is elsewhere."""
    if not url:
        advice = sentence("set OMIPAY_NOTIFY_URL, or notify_url= of each order")
        return Finding("notify_url", None, sentence("not set: the gateway sends no notifications of payments"), advice)
    if is_loopback(url) and not is_loopback(base_url):
        advice = sentence("set OMIPAY_NOTIFY_URL to an address of your program that is reached from the internet")
        detail = sentence("{} is this machine, which the gateway cannot reach", url)
        return Finding("notify_url", False, detail, advice, Exit.BAD_INPUT)
    return Finding("notify_url", True, sentence("{}; --notify checks that your program answers there", url))


async def notification(http: httpx.AsyncClient, url: str, m_number: str, key: str, clock: Clock) -> Finding:
    """Post a signed test notification, and explain the answer.

    ``http`` is the session's client: a proxy of the environment must not see a signature that is for this machine.
    """
    if not url:
        advice = sentence("set OMIPAY_NOTIFY_URL: --notify posts to it")
        return Finding(_NOTIFICATION, False, sentence("there is no notify_url to post to"), advice, Exit.BAD_INPUT)
    body = notify_check.signed_body(m_number, key, secrets.token_hex(16), clock.time_ms())
    try:
        answer = await http.post(url, content=body, headers={"Content-Type": "application/json"}, timeout=_TIMEOUT_S)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        advice = sentence("start your program, and check the address and the firewall; the gateway must reach it too")
        return Finding(_NOTIFICATION, False, sentence("nobody answers: {}", _reason(error)), advice, Exit.NO_ANSWER)
    ok, meaning, next_step = notify_check.verdict(answer.status_code, answer.content)
    return Finding(_NOTIFICATION, ok, meaning, next_step, Exit.DONE if ok else Exit.REFUSED)


def _reason(error: BaseException) -> str:
    """What an error says, or the operating system; if both say nothing, the name of the error."""
    if isinstance(error, TimeoutError | httpx.TimeoutException) and not str(error):
        return sentence("no answer within {:g} s", _TIMEOUT_S)
    cause = system_error(error)
    return f"{plain(cause) or type(cause).__name__}{meaning(cause)}"


async def dns(address: SplitResult) -> Finding:
    """Whether the name of the host is known."""
    host = address.hostname or ""
    known = await asyncio.to_thread(_addresses, host)
    if not known:
        advice = sentence("check OMIPAY_BASE_URL, this machine's network and its name server")
        return Finding("DNS", False, sentence("{} is not known", host), advice, Exit.NO_ANSWER)
    return Finding("DNS", True, sentence("{} is {}", host, known[0]))


def _addresses(host: str) -> list[str]:
    try:
        return [str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError):  # UnicodeError: a label has more than 63 characters
        return []


async def tls(address: SplitResult, context: ssl.SSLContext) -> Finding:
    """Whether a connection can be made, and whether the server's certificate is trusted."""
    host, secure = address.hostname or "", address.scheme == "https"
    port = address.port or (443 if secure else 80)
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            sock, used = await open_socket(await addresses_of(host, port))
    except OSError as error:  # TimeoutError is one
        advice = sentence("a firewall blocks it, or nothing listens there")
        detail = sentence("no connection to {}, port {}: {}", host, port, _reason(error))
        return Finding("TLS", False, detail, advice, Exit.NO_ANSWER)
    if not secure:
        sock.close()
        return Finding("TLS", True, sentence("not needed: the address is on this machine"))
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            _, writer = await asyncio.open_connection(sock=sock, ssl=context, server_hostname=host)
    except ssl.SSLError as error:
        advice = sentence(
            "the certificate there or those here are out of date, the connection is intercepted, or the clock is wrong"
        )
        return Finding("TLS", False, getattr(error, "verify_message", "") or str(error.reason), advice, Exit.NO_ANSWER)
    except OSError as error:
        advice = sentence("large packets are lost on the way, or something in between answers in the server's place")
        detail = sentence("{}, port {}, accepts connections, but no TLS: {}", used.sockaddr[0], port, _reason(error))
        return Finding("TLS", False, detail, advice, Exit.NO_ANSWER)
    tls_object = writer.get_extra_info("ssl_object")
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    until = tls_object.getpeercert()["notAfter"]
    return Finding("TLS", True, sentence("{}, certificate valid until {}", tls_object.version(), until))


async def clock(http: httpx.AsyncClient, base_url: str, clock: Clock) -> Finding:
    """How far this machine's clock is off, compared with the ``Date`` header of a reply."""
    began = clock.time_ms()
    try:
        reply = await http.head(base_url, timeout=_TIMEOUT_S)
    except httpx.HTTPError:
        return Finding(_CLOCK, None, sentence("not known: the gateway did not answer"))
    date_ms = parse_http_date(Received.of(reply.status_code, reply.headers.raw, b"").date)
    if date_ms is None:
        return Finding(_CLOCK, None, sentence("not known: the reply has no Date header"))
    offset_s = (date_ms + HALF_A_SECOND_MS - (began + clock.time_ms()) / 2) / 1000
    side = sentence("{:.0f} s behind the gateway's") if offset_s > 0 else sentence("{:.0f} s ahead of the gateway's")
    detail = side.filled(abs(offset_s))
    if abs(offset_s) >= _LARGEST_OFFSET_S:
        advice = sentence("let NTP set it: the gateway refuses calls when it is 5 minutes off")
        return Finding(_CLOCK, False, detail, advice, Exit.REFUSED)
    return Finding(_CLOCK, True, detail)


async def key(omipay: AsyncOmipay) -> Finding:
    """Whether the gateway accepts the signature of a request for an exchange rate."""
    try:
        rate = await omipay.get_exchange_rate("AUD", "CNY")
    except AuthenticationError as error:
        return Finding(_KEY, False, str(error), _KEY_ADVICE.get(error.error_code, ""), Exit.REFUSED)
    except (InvalidReply, TransportError, GatewayError) as error:
        advice = sentence("no usable answer: try again later")
        if isinstance(error, InvalidReply) and (error.status or 0) < _OVERLOADED:
            advice = sentence("OMIPAY_BASE_URL must end in /omipay/api; if it does, try again later")
        return Finding(_KEY, False, str(error), advice, Exit.NO_ANSWER)
    except APIError as error:
        return Finding(_KEY, True, sentence("accepted, although the gateway gave no rate: {}", error.error_code))
    return Finding(_KEY, True, sentence("accepted: 1 AUD = {:f} CNY", rate.rate))
