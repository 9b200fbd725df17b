"""Transports of httpx-curl-cffi, whose connections serve one request each. No I/O.

curl uses a connection again whatever header the request had. If the server closes that one without a reply, curl sends
the request again over a new one, a POST too: a charge was acted on twice (seen in curl_cffi 0.17). It does neither if
it may not use a connection again.
"""

from __future__ import annotations

from typing import Final

from omipay_async.errors import ConfigurationError

_FRESH_CONNECT: Final = 74
_FORBID_REUSE: Final = 75
"""curl's numbers of its options."""


def forbid_reuse(transport: object) -> None:
    """Let a transport of httpx-curl-cffi open a connection for each request, and close it after the reply.

    Raises:
        ConfigurationError: the options of its curl are not where they were.
    """
    options = getattr(vars(transport).get("_session"), "curl_options", None)
    if not isinstance(options, dict):
        message = "transport: this version of httpx-curl-cffi cannot be kept from sending a charge twice"
        raise ConfigurationError(message)
    options.update({_FRESH_CONNECT: 1, _FORBID_REUSE: 1})
