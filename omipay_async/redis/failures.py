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
    meaning = next((meaning for words, meaning in _REFUSALS.items() if words in text), _system_reason(error))
    return kind if meaning is None else f"{kind}: {meaning}"


_REFUSALS: Final = {
    "unknown command": "it does not have a command that is needed (EVAL)",
    "unsupported command": "it does not have a command that is needed (EVAL)",
    "NOAUTH": "it needs a user and a password",
    "Authentication required": "it needs a user and a password",
    "already authenticated": "it needs a user and a password",
    "WRONGPASS": "the user or the password is wrong",
    "invalid username-password": "the user or the password is wrong",
    "invalid password": "the user or the password is wrong",
    "no password is set": "a password is given, but it has none",
    "without any password configured": "a password is given, but it has none",
    "NOPERM": "this user may not run a command that is needed",
    "NoPermissionError": "this user may not run a command that is needed",
    "no permissions": "this user may not run a command that is needed",
    "user executing the script": "this user may not run a command that is needed",
    "ReadOnlyError": "it is a replica, which does not accept writes",
    "read only": "it is a replica, which does not accept writes",
    "MasterDownError": "it is a replica that has lost its primary",
    "BusyLoadingError": "it has just started, and is still reading its data",
    "FAILOVER": "another server is taking its place",
    "previous master": "another server is taking its place",
    "MasterNotFoundError": "Sentinel names no server that accepts writes",
    "MovedError": "it is one node of a cluster: give a RedisCluster",
    "AskError": "it is one node of a cluster: give a RedisCluster",
    "SELECT is not allowed in cluster mode": "it is one node of a cluster: give a RedisCluster",
    "ClusterDownError": "its cluster is down",
    "TryAgainError": "its cluster is moving this key to another node",
    "OOM": "its memory is full",
    "maxmemory": "its memory is full",
    "MISCONF": "it cannot save to its disk, and does not accept writes",
    "WRONGTYPE": "another program keeps something else under this key, so use a prefix of your own",
    "NOREPLICAS": "too few of its replicas are connected",
    "DB index": "it does not have a database of this number",
    "max number of clients": "it has too many clients already",
    "protected mode": "it accepts only programs of its own machine (protected mode)",
    "running a script": "it is busy with a script",
    "UNKILLABLE": "it is busy with a script",
}
"""Names of errors of redis, and words in a server's error messages, and their meaning."""


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
