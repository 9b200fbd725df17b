"""Which certificates are trusted: those of ``verify``, or the machine's own settings. It reads files, no network.

A file or a folder that cannot be used is a :class:`ConfigurationError` that names the argument or the variable, before
anything is sent.
"""

from __future__ import annotations

import functools
import os
import re
import ssl
import stat
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx

from omipay_async.errors import ConfigurationError
from omipay_async.text import plain_value

_CERTIFICATE_NAME: Final = re.compile(r"[0-9a-f]{8}\.[0-9]+")
"""How OpenSSL wants the certificates in a folder to be called: by the hash of their subject (``openssl rehash``)."""
_LARGEST_FILE: Final = 16 * 2**20
"""In bytes. The certificates of a whole system take less than one MiB."""
_VARIABLES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")
"""What OpenSSL, Python and httpx read when a context is made, in the order in which they are read."""


class _Environment(NamedTuple):
    """The variables that decide about a context. SSL_CERT_DIR is read only where SSL_CERT_FILE is not set."""

    file: str
    folders: str
    key_log: str


def checked_verify(verify: Any) -> ssl.SSLContext | str | bool:
    """``verify`` if it is an SSL context, a bool or a path, which is returned as text.

    Raises:
        ConfigurationError: it is something else. Whether a path contains certificates is checked later, by
            :func:`ssl_context`.
    """
    if isinstance(verify, ssl.SSLContext | bool):
        return verify
    try:
        path = plain_value(os.fspath(verify))
    except Exception:  # noqa: BLE001 - the path is an object of the user's, which may raise anything
        path = None
    if not isinstance(path, str) or not path:
        raise ConfigurationError("verify must be an ssl.SSLContext, a path to CA certificates, or True")
    return path


def ssl_context(verify: ssl.SSLContext | str | bool) -> ssl.SSLContext:
    """The TLS context for ``verify``. It is made once for each value in a process, since that takes milliseconds.

    Raises:
        ConfigurationError: no certificates can be read at the path of ``verify`` or of a variable of the environment.
    """
    if isinstance(verify, ssl.SSLContext):
        return verify
    return _shared(verify, _Environment(*(os.environ.get(name, "") for name in _VARIABLES)))


@functools.lru_cache(maxsize=8)
def _shared(verify: str | bool, environment: _Environment) -> ssl.SSLContext:
    if verify is True and not environment.file and _contain_no_certificate(environment.folders):
        message = "SSL_CERT_DIR: OpenSSL finds a certificate in none of its folders: run openssl rehash on them"
        raise ConfigurationError(message)
    if verify is not False and environment.key_log and not _is_writable(environment.key_log):
        raise ConfigurationError("SSLKEYLOGFILE: the file cannot be written to")
    source, path = _source(verify, environment)
    if path and (why := _why_not_to_read(path)):
        raise ConfigurationError(f"{source}: {why}")
    try:
        return _new_context(verify)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError; a path with a null character: ValueError
        kind = type(error).__name__
    raise ConfigurationError(f"{source}: no certificates can be read there ({kind})")


def _source(verify: str | bool, environment: _Environment) -> tuple[str, str]:
    """What names the certificates, for a message, and their path; it is empty if neither names one."""
    if isinstance(verify, str):
        return "verify", verify
    if verify and environment.file:
        return "SSL_CERT_FILE", environment.file
    return "the CA certificates", ""


def _why_not_to_read(path: str) -> str | None:
    """Why OpenSSL must not open this: it would wait for a pipe's writer, or read a device without end."""
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return None  # OpenSSL says what is wrong
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        return "the path leads to a pipe, a socket or a device, not to a file"
    if stat.S_ISREG(found.st_mode) and found.st_size > _LARGEST_FILE:
        return f"the file is larger than {_LARGEST_FILE // 2**20} MiB"
    return None


def _new_context(verify: str | bool) -> ssl.SSLContext:
    if isinstance(verify, bool):
        return httpx.create_ssl_context(verify=verify)
    if Path(verify).is_dir():
        if _contain_no_certificate(verify):
            raise FileNotFoundError
        return ssl.create_default_context(capath=verify)
    return ssl.create_default_context(cafile=verify)


def _contain_no_certificate(folders: str) -> bool:
    # OpenSSL skips what is missing, and trusts no certificate if nothing is there.
    return bool(folders) and not any(map(_contains_certificate, folders.split(os.pathsep)))


def _contains_certificate(folder: str) -> bool:
    try:
        files = (found for found in Path(folder).iterdir() if _CERTIFICATE_NAME.fullmatch(found.name))
        return bool(folder) and any(found.is_file() for found in files)
    except (OSError, ValueError):
        return False


def _is_writable(path: str) -> bool:
    try:
        # Opening a pipe that nobody reads would wait for a reader.
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0), 0o666))
    except (OSError, ValueError):
        return False
    return True
