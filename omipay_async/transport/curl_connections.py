"""Lets each connection of httpx-curl-cffi and httpx-pycurl serve one request. No I/O.

curl uses a connection again whatever header the request had. If the server closes that one without a reply, curl sends
the request again over a new one, a POST too: a charge was acted on twice (seen in curl_cffi 0.17 and pycurl 7.49). It
does neither if it may not use a connection again.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from omipay_async.errors import ConfigurationError

_FRESH_CONNECT: Final = 74
_FORBID_REUSE: Final = 75
_HTTP_VERSION: Final = 84
_MAX_TOTAL_CONNECTIONS: Final = 13
"""curl's numbers of its options."""
_HTTP_1_1: Final = 2


def forbid_reuse(transport: object) -> None:
    """Let a transport of httpx-curl-cffi open a connection for each request, and close it after the reply.

    Raises:
        ConfigurationError: the options of its curl are not where they were.
    """
    options = getattr(vars(transport).get("_session"), "curl_options", None)
    if not isinstance(options, dict):
        raise _cannot_be_kept("httpx-curl-cffi")
    options.update({_FRESH_CONNECT: 1, _FORBID_REUSE: 1})


def forbid_reuse_by_pycurl(transport: object) -> None:
    """Let a transport of httpx-pycurl open a connection for each request, and close it after the reply.

    It has no option for that: its curl sets both options of each request. Before the first request it has no curl yet,
    and is given the one that it would make. A request goes out as HTTP/1.1: if a server asks for that over HTTP/2, curl
    sends the request once more, and an error of the second connection looks as if nothing was sent.

    Raises:
        ConfigurationError: its curl is not where it was.
    """
    try:
        attributes = vars(transport)
        curl = attributes["_curl"]
        if curl is None:
            curl = sys.modules["httpx_pycurl"].AsyncCurl()
            curl.setopt(_MAX_TOTAL_CONNECTIONS, attributes["_max_connections"])
            attributes["_curl"] = curl
        perform = curl.perform
    except (KeyError, AttributeError):
        raise _cannot_be_kept("httpx-pycurl") from None
    if "perform" in vars(curl):
        return  # it was told before

    def perform_alone(request: Any) -> Any:
        request.setopt(_FRESH_CONNECT, 1)
        request.setopt(_FORBID_REUSE, 1)
        request.setopt(_HTTP_VERSION, _HTTP_1_1)
        return perform(request)

    curl.perform = perform_alone


def _cannot_be_kept(package: str) -> ConfigurationError:
    return ConfigurationError(f"transport: this version of {package} cannot be kept from sending a charge twice")
