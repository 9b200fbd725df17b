"""Why a request failed, in words of our own, because a server's error message may contain passwords."""

from __future__ import annotations

import os
import socket
import ssl
from typing import Final


def reason(error: BaseException) -> str:
    """The error's name, and its meaning if that is known."""
    kind = type(error).__name__
    text = f"{kind} {error}"
    meanings = (meaning for meaning, signs in _REFUSALS.items() if any(sign in text for sign in signs))
    meaning = next(meanings, None) or _system_reason(error)
    return kind if meaning is None else f"{kind}: {meaning}"


_REFUSALS: Final = {
    "it does not have a command that is needed (EVAL)": ("unknown command", "unsupported command"),
    "it needs a user and a password": ("NOAUTH", "Authentication required", "already authenticated"),
    "the user or the password is wrong": ("WRONGPASS", "invalid username-password", "invalid password"),
    "a password is given, but it has none": ("no password is set", "without any password configured"),
    "this user may not run a command that is needed": (
        "NOPERM",
        "NoPermissionError",
        "no permissions",
        "user executing the script",
    ),
    "it is a replica, which does not accept writes": ("ReadOnlyError", "read only"),
    "it is a replica that has lost its primary": ("MasterDownError",),
    "it has just started, and is still reading its data": ("BusyLoadingError",),
    "another server is taking its place": ("FAILOVER", "previous master"),
    "Sentinel names no server that accepts writes": ("MasterNotFoundError",),
    "it is one node of a cluster: give a RedisCluster": (
        "MovedError",
        "AskError",
        "SELECT is not allowed in cluster mode",
    ),
    "its cluster is down": ("ClusterDownError",),
    "its cluster is moving this key to another node": ("TryAgainError",),
    "its memory is full": ("OOM", "maxmemory"),
    "it cannot save to its disk, and does not accept writes": ("MISCONF",),
    "another program keeps something else under this key, so use a prefix of your own": ("WRONGTYPE",),
    "too few of its replicas are connected": ("NOREPLICAS",),
    "it does not have a database of this number": ("DB index",),
    "it has too many clients already": ("max number of clients",),
    "it accepts only programs of its own machine (protected mode)": ("protected mode",),
    "it is busy with a script": ("running a script", "UNKILLABLE"),
}
"""What a refusal means, by the names of redis' errors and the words of servers' messages that say so."""


def _system_reason(error: BaseException | None) -> str | None:
    """Why the system could not connect, in the system's words: those of redis and of asyncio contain the address.

    Windows' own do not, and are needed: its ``errno`` of a refused connection means an invalid argument.
    """
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return f"TLS failed, {error.reason}"
        if isinstance(error, OSError) and error.errno is not None:
            own_words = isinstance(error, socket.gaierror) or getattr(error, "winerror", None)
            return str(error.strerror) if own_words else os.strerror(error.errno)
        error = error.__cause__ or error.__context__
    return None
