"""What a failure proves: whether any byte of a request can have reached the gateway. No I/O.

- On our own connections, and through a proxy, the attempt records when sending begins. Before that nothing was sent.
- On a transport that the user gave, the attempt records it only if that is built on httpcore (see
  ``httpcore_reports``), and for reads also if it is built on aiohttp. Otherwise the exception must show it. httpx's
  connect errors are believed, except where ``__cause__`` contradicts them: the aiohttp transport also raises
  ``ConnectTimeout`` when the server hangs up after the request was sent.
- In every other case the request may have reached the gateway.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from typing import TYPE_CHECKING, Final

import httpx

from omipay_async.errors import NotSent, TransportError
from omipay_async.protocol.redaction import excerpt

from .attempt import Attempt, Progress
from .cancellation import CancelReason
from .failures import Failed, Failure, not_sent, session_closed

if TYPE_CHECKING:
    from collections.abc import Iterator

_URL: Final = r"(?i)[a-z][a-z0-9+.-]*://\S+"  # re compiles it at its first use
_NEVER_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)
# What is raised before a connection exists, by name: none of these libraries needs to be imported or installed.
_CONNECTING: Final = {
    "aiohttp": frozenset(
        {
            "ClientConnectorError",
            "ConnectionTimeoutError",
            "ClientHttpProxyError",
            "InvalidURL",
            "NonHttpUrlClientError",
        }
    ),
    "httpcore": frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol"}),
    "respx": frozenset({"SideEffectError"}),  # whatever a test configured it to raise
}
_UNREACHABLE: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN})


def failed(attempt: Attempt, error: BaseException, handled: BaseException | None = None) -> Failed:
    """The failure of an attempt that ended with ``error``.

    ``handled`` is the exception that the caller was handling when the attempt began, if there was one.
    """
    what = f"{_told(attempt, error)}{_reason(attempt, error, handled)}{_way(attempt)}"
    if attempt.progress is Progress.CONNECTING or proves_unsent(attempt, error, handled):
        return not_sent(Failure.NEVER_SENT, attempt.endpoint.name, what)
    message = f"{attempt.endpoint.name}: no answer, {what}"
    return Failed(Failure.NO_ANSWER, TransportError(message, endpoint=attempt.endpoint.name))


def _told(attempt: Attempt, error: BaseException) -> str:
    text = re.sub(_URL, "[URL]", excerpt(str(error), attempt.secrets))
    return f"{type(error).__name__}{': ' if text else ''}{text}"


def _reason(attempt: Attempt, error: BaseException, handled: BaseException | None) -> str:
    """What the operating system said, if ``error`` does not: of several addresses it may tell only that all failed."""
    reason = system_error(error, handled)
    is_told = str(reason) in str(error) or isinstance(reason, ssl.SSLError)  # that TLS wants to read on is not a reason
    return f"{'' if is_told else f' ({_told(attempt, reason)})'}{meaning(reason)}"


def system_error(error: BaseException, handled: BaseException | None = None) -> BaseException:
    """The error of the operating system that caused ``error``, or ``error`` itself if there is none."""
    causes = _with_causes(error, handled)
    return next((cause for cause in causes if isinstance(cause, OSError) and cause.errno is not None), error)


def meaning(error: BaseException) -> str:
    """What the number of a system's error means, where asyncio tells the address in place of it; else nothing."""
    if isinstance(error, OSError) and error.errno is not None and "Connect call failed" in str(error):
        return f": {os.strerror(error.errno)}"
    return ""


def proves_unsent(attempt: Attempt, error: BaseException, handled: BaseException | None) -> bool:
    """Whether ``error``, which a transport has raised, proves that nothing of the request reached the gateway."""
    if attempt.progress is Progress.SENT or not never_sent(error, handled):
        return False
    # A reset in a TLS handshake comes before the request.
    return attempt.node.base_url.startswith("https:") or not _was_dropped(error, handled)


def cut_short(attempt: Attempt, why: CancelReason) -> Failed:
    """The failure of an attempt whose scope was cancelled."""
    if why is CancelReason.CLOSED and not (attempt.moves_money and attempt.may_have_arrived):
        return session_closed()
    if attempt.may_have_arrived:
        message = f"{attempt.endpoint.name}: no answer in time{_way(attempt)}"
        return Failed(Failure.NO_ANSWER, TransportError(message, endpoint=attempt.endpoint.name))
    step = "" if attempt.step is None else f", {attempt.step}"
    message = f"{attempt.endpoint.name}: no connection in time{step}{_way(attempt)}"
    return Failed(Failure.NEVER_SENT, NotSent(message, endpoint=attempt.endpoint.name))


def _way(attempt: Attempt) -> str:
    return " (through a proxy)" if attempt.is_through_proxy else ""


def never_sent(error: BaseException, handled: BaseException | None = None) -> bool:
    """Whether ``error`` proves by itself that no byte of the request reached the gateway.

    A call that is made in an ``except`` block has the exception that is ``handled`` there as the context of its own
    errors. It says nothing about this request.
    """
    if not isinstance(error, _NEVER_SENT):
        return False
    cause = error.__cause__
    if cause is None and not error.__suppress_context__:
        cause = error.__context__ if error.__context__ is not handled else None
    if cause is None:
        # httpx-pycurl also raises it for a reply without a status line; the others raise it from an error of their own.
        return not isinstance(error, httpx.UnsupportedProtocol)
    return _before_connected(cause)


def _was_dropped(error: BaseException, handled: BaseException | None) -> bool:
    """Whether a server accepted a connection and reset it, as the causes of ``error`` tell."""
    reset = (ConnectionResetError, ConnectionAbortedError)  # their errno is EINVAL on Windows
    return any(isinstance(cause, reset) for cause in _with_causes(error, handled))


def _with_causes(error: BaseException, handled: BaseException | None) -> Iterator[BaseException]:
    """``error`` and everything that caused it, each once, but not the exception that the caller was handling."""
    waiting: list[BaseException | None] = [error]
    seen = {id(handled)}
    for cause in waiting:
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting += (
            cause.exceptions if isinstance(cause, BaseExceptionGroup) else (cause.__cause__ or cause.__context__,)
        )


def _before_connected(cause: BaseException) -> bool:
    names = _CONNECTING.get(type(cause).__module__.partition(".")[0])
    if names is not None:
        return any(kind.__name__ in names for kind in type(cause).__mro__)
    if isinstance(cause, socket.gaierror | ssl.SSLError | ConnectionRefusedError):
        return True
    return isinstance(cause, OSError) and cause.errno in _UNREACHABLE
