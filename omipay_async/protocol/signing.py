"""How requests are signed and signatures are checked: credentials, the signature, nonces. No I/O.

The signature (CN 2.3, EN 1.3) covers the merchant number, the time and the nonce, and nothing else: not the endpoint,
not a parameter, not a body. PROTOCOL 1 describes what follows from that; the keyed nonces below mend a part of it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Final, Protocol, TypeVar, runtime_checkable

import attrs

from omipay_async.errors import ConfigurationError, InvalidRequest, OmipayError
from omipay_async.text import Secret, hidden_key, joined, percent_encoded, plain_text, plain_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")


def signature(m_number: str, timestamp: str, nonce_str: str, secret_key: str) -> Secret:
    """``MD5("m_number&timestamp&nonce_str&secret_key")`` in upper-case hex (CN 2.3(2))."""
    # Joined, not formatted: keys and nonces are secrets, which cannot be formatted. With surrogatepass, since a nonce
    # that a stranger sends may not be valid text; its signature is then wrong.
    text = joined(m_number, "&", timestamp, "&", nonce_str, "&", secret_key)
    # MD5 is the gateway's choice. Hosts under FIPS rules allow it where security does not rest on it.
    return Secret(hashlib.md5(text.encode(errors="surrogatepass"), usedforsecurity=False).hexdigest().upper())


def _secrets(keys: Iterable[str]) -> tuple[Secret, ...]:
    return tuple(map(Secret, keys))


@attrs.frozen
class Credentials:
    """A merchant's number and keys. The current key signs; the previous ones are still recognised."""

    m_number: str
    secret_key: Secret = attrs.field(converter=Secret, repr=False)
    previous_secret_keys: tuple[Secret, ...] = attrs.field(default=(), converter=_secrets, repr=False)

    @property
    def keys(self) -> tuple[Secret, ...]:
        """Every key that a notification or a nonce may have been made with."""
        return (self.secret_key, *self.previous_secret_keys)

    def sign(self, time_ms: int, nonce_str: str) -> tuple[Secret, Secret]:
        """The four parameters that authorise a request or a pay page, as a query string, and the ``sign`` alone."""
        sign = signature(self.m_number, str(time_ms), nonce_str, self.secret_key)
        m_number = percent_encoded(self.m_number)
        return joined(f"m_number={m_number}&timestamp={time_ms}&nonce_str=", nonce_str, "&sign=", sign), sign

    def verify(self, timestamp: str, nonce_str: str, sign: str) -> bool:
        """Whether ``sign`` was made with one of our keys. Compares in constant time, and bytes, so any text will do."""
        given = sign.encode(errors="surrogatepass")
        matches = [
            hmac.compare_digest(given, signature(self.m_number, timestamp, nonce_str, key).encode())
            for key in self.keys
        ]
        return any(matches)


# -- nonces ---------------------------------------------------------------------------------------------------------


@runtime_checkable
class NonceProvider(Protocol):
    """A callable that returns a fresh nonce: 10 to 32 unpredictable characters of ``a-z A-Z 0-9`` (CN 2.2(5)).

    If a provider also has ``issued(nonce) -> bool``, notifications that contain one of its nonces are rejected. What
    either raises is the cause of an ``InvalidRequest``: nothing is sent, and a notification is answered 503.
    """

    def __call__(self) -> str:
        """Return a nonce that was never returned before."""
        ...


_LENGTHS: Final = range(10, 33)


def new_nonce(provider: NonceProvider) -> Secret:
    """A nonce of ``provider``. Raises :class:`InvalidRequest` if it returns something else, or fails."""
    nonce = hidden_key(_asked("nonces: the provider", provider))
    if len(nonce) not in _LENGTHS or not (nonce.isascii() and nonce.isalnum()):
        message = "nonces: the provider must return 10 to 32 characters of a-z, A-Z and 0-9"
        raise InvalidRequest(message, parameter="nonces")
    return nonce


def was_issued(issued: Callable[[str], bool], nonce: str) -> bool:
    """Whether a provider says that it issued ``nonce``. Raises :class:`InvalidRequest` if that fails."""
    return _asked("nonces.issued", issued, nonce)


def _asked(what: str, ask: Callable[..., T], *nonces: str) -> T:
    """What a provider answers. What it raises becomes an error of ours, so that a notification is answered."""
    try:
        return ask(*map(plain_text, nonces))
    except OmipayError:
        raise
    except Exception as error:
        message = f"{what} raised {type(error).__name__}"
        raise InvalidRequest(message, parameter="nonces") from error


class TaggedNonces:
    """The default nonces: 16 random hex characters, and then 16 of a keyed tag of these (HMAC-SHA-256, cut off).

    Any process that has the key recognises such a nonce as this merchant's own, without storing it. So a notification
    in which a customer sends back the signature of a pay page is rejected. ``secret_keys`` are this merchant's: the
    first one makes the tags, and the tags of every one are recognised.
    """

    __slots__ = ("_tags",)

    def __init__(self, secret_keys: Iterable[str]) -> None:
        keys = (secret_keys,) if isinstance(secret_keys, str) else secret_keys  # otherwise each letter would be a key
        self._tags = tuple(_tag_maker(key) for key in keys)

    def __call__(self) -> str:
        """Return a fresh nonce, tagged with the first key."""
        random = secrets.token_hex(8)
        return random + _tag(random, self._tags[0])

    def issued(self, nonce: str) -> bool:
        """Whether ``nonce`` has the tag of one of the keys."""
        random = Secret(nonce[:16])
        tag = nonce[16:].encode(errors="surrogatepass")
        matches = [hmac.compare_digest(tag, _tag(random, tags).encode()) for tags in self._tags]
        return any(matches)


def _tag_maker(secret_key: str) -> hmac.HMAC:
    # SHA-2 is allowed on every machine, FIPS rules included.
    return hmac.new(hmac.digest(plain_text(secret_key).encode(), b"omipay nonce tag", "sha256"), None, "sha256")


def _tag(random: str, tags: hmac.HMAC) -> str:
    tag = tags.copy()  # OpenSSL takes longer to begin an HMAC with a key than to compute one
    tag.update(random.encode(errors="surrogatepass"))
    return tag.digest()[:8].hex()


def checked_credentials(m_number: object, secret_key: Secret, previous_secret_keys: tuple[Secret, ...]) -> Credentials:
    """The credentials, or a :class:`ConfigurationError` that names what is wrong."""
    number = _checked_credential("m_number", plain_value(m_number))
    if ":" in number:  # in a backend's keys one follows it: two merchants could have the same key
        message = "m_number must not contain a colon"
        raise ConfigurationError(message)
    _checked_credential("secret_key", secret_key)
    for index, key in enumerate(previous_secret_keys):
        _checked_credential(f"previous_secret_keys[{index}]", key)
    return Credentials(plain_text(number), secret_key, previous_secret_keys)


def _checked_credential(name: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        kind = "" if isinstance(value, str) else f", not {type(value).__name__}"
        message = f"{name} must be a string that is not empty{kind}"
        raise ConfigurationError(message)
    if not value.isprintable():
        message = f"{name} contains a character that cannot be printed: was it copied with a line break?"
        raise ConfigurationError(message)
    return value
