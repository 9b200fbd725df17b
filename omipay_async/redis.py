"""The backend that processes share: claims, records and wake-ups in Redis (extra ``redis``).

One key per order: absent is FREE, ``done`` is DONE, ``:owner`` is HELD, and Redis itself lets it expire. Each question
is one Lua script, hence atomic, and may be asked again, so that a lost answer does no harm. Wake-ups are published on
one channel per prefix.

A Redis that forgets (restarted without persistence, failed over to a replica that lags, evicting keys under memory
pressure) forgets records of success with the rest, and the handler may run again: give it persistence and the policy
``noeviction``, and let handlers be transactions that bear a repeat.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from typing import TYPE_CHECKING, Any, Final, Self, cast

from .errors import BackendError, ConfigurationError
from .fulfilment.backends import DEFAULT_KEEP, DEFAULT_LEASE_S, NOTES_KEPT_S, Claim, checked_seconds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from datetime import timedelta

    from redis.asyncio import Redis
    from redis.asyncio.client import PubSub

_log: Final = logging.getLogger("omipay_async")

# backends.TRANSITIONS, in Redis' own words. A claim and a renewal do the same, and differ in what they answer.
_TAKE: Final = """
local held = redis.call('GET', KEYS[1])
if held == 'done' then return 'DONE' end
if held and held ~= ARGV[1] then return 'BUSY' end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 'MINE'
"""
_FINISH: Final = """
local held = redis.call('GET', KEYS[1])
if held == 'done' then return 1 end
if held and held ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], 'done', 'PX', ARGV[2])
return 1
"""
_RELEASE: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
"""

_ANSWER_S: Final = 5.0
"""How long any question may take, connecting and repeating included."""
_CONNECT_S: Final = 2.0
_CONNECTIONS: Final = 50
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 5.0
_PULSE_S: Final = 10.0
"""After this much silence a listener asks whether its connection is still alive."""


class RedisBackend:
    """Guards all processes that use the same Redis and ``prefix``.

    ``url_or_client`` is ``redis://``, ``rediss://`` or ``unix://``, or a ``redis.asyncio.Redis`` of your own, which you
    close yourself. ``lease``, in seconds, is how long an order waits after the death of the process that held it;
    recorded successes are forgotten after ``keep``, seconds or a ``timedelta``. ``async with`` or :meth:`aclose` closes
    a client that was made from a URL. Nothing is connected before the first use.

    Raises ``ConfigurationError`` for wrong options or a missing extra, and, from its methods, ``BackendError`` for
    whatever goes wrong with Redis.
    """

    def __init__(
        self,
        url_or_client: str | Redis,
        *,
        lease: float = DEFAULT_LEASE_S,
        prefix: str = "omipay:",
        keep: float | timedelta = DEFAULT_KEEP,
    ) -> None:
        self.lease = checked_seconds("lease", lease)
        self._lease_ms = max(1, round(self.lease * 1000))
        self._keep_ms = max(1, round(checked_seconds("keep", keep) * 1000))
        self._prefix = prefix
        try:
            from redis import exceptions
        except ImportError:
            message = 'RedisBackend needs redis: pip install "omipay-async[redis]"'
            raise ConfigurationError(message) from None
        self._troubles = (exceptions.RedisError, OSError)
        self._url = url_or_client if isinstance(url_or_client, str) else None
        self._client = _made(self._url) if self._url is not None else _checked(url_or_client)
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        return f"<RedisBackend: lease {self.lease:g} s, prefix {self._prefix!r}>"  # a URL may hold a password

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections of a client that was made from a URL. A later use connects again."""
        if self._url is not None:
            with contextlib.suppress(*self._troubles):
                await self._redis().aclose()

    async def claim(self, key: str, owner: str) -> Claim:
        """Take ``key`` for ``owner``, for ``lease`` seconds, if nobody holds it and no success is recorded."""
        answer = await self._eval(_TAKE, key, owner, self._lease_ms)
        return Claim(_text(answer))

    async def renew(self, key: str, owner: str) -> bool:
        """Let the lease last ``lease`` seconds from now. False: it is no longer ``owner``'s."""
        return await self.claim(key, owner) is Claim.MINE

    async def finish(self, key: str, owner: str) -> bool:
        """Record success. False, and nothing recorded: another owner's lease holds."""
        return bool(await self._eval(_FINISH, key, owner, self._keep_ms))

    async def release(self, key: str, owner: str) -> None:
        """Free ``key`` for the next delivery, if ``owner`` holds it."""
        await self._eval(_RELEASE, key, owner)

    async def wake(self, key: str) -> None:
        """Tell the pollers of ``key`` in every process that listens."""
        with self._translated():
            async with asyncio.timeout(_ANSWER_S):
                await self._redis().publish(self._channel, key)

    async def note(self, key: str, text: str) -> None:
        """Remember ``text`` under ``key`` for a quarter of an hour."""
        with self._translated():
            async with asyncio.timeout(_ANSWER_S):
                await self._redis().set(self._note_key(key), text, px=round(NOTES_KEPT_S * 1000))

    async def noted(self, key: str) -> str | None:
        """The text that is remembered under ``key``, None if there is none."""
        with self._translated():
            async with asyncio.timeout(_ANSWER_S):
                text = await self._redis().get(self._note_key(key))
        return None if text is None else _text(text)

    @contextlib.asynccontextmanager
    async def listen(self, on_wake: Callable[[str], object]) -> AsyncIterator[None]:
        """While open, ``on_wake(key)`` is called in this loop for each ``wake(key)`` of any process, this one included.

        Entering returns once it listens, or once the first attempt has failed: it is repeated with growing pauses for
        as long as it takes, which is logged once. Wakes that fall into such a gap are missed.
        """
        tried = asyncio.Event()
        hearing = asyncio.create_task(self._hear(on_wake, tried))
        try:
            await tried.wait()
            yield
        finally:
            hearing.cancel()
            await asyncio.wait((hearing,))

    @property
    def _channel(self) -> str:
        return f"{self._prefix}wake"

    def _note_key(self, key: str) -> str:
        return f"{self._prefix}note:{key}"

    async def _eval(self, script: str, key: str, owner: str, *values: int) -> Any:
        with self._translated():
            async with asyncio.timeout(_ANSWER_S):
                return await self._redis().eval(script, 1, self._prefix + key, f":{owner}", *values)

    def _redis(self) -> Redis:
        """The client. One of our own is made anew for another event loop: connections belong to one."""
        loop = asyncio.get_running_loop()
        if self._url is not None and self._loop is not None and self._loop is not loop:
            self._client = _made(self._url)
        self._loop = loop
        return self._client

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        # Only the kind of error is passed on: servers quote in theirs what they were sent, passwords included.
        try:
            yield
        except self._troubles as error:
            message = f"redis could not be asked: {_reason(error)}"
            raise BackendError(message) from None

    # -- listening --------------------------------------------------------------------------------------------------

    async def _hear(self, on_wake: Callable[[str], object], tried: asyncio.Event) -> None:
        pause = _FIRST_PAUSE_S
        warned = False
        while True:
            try:
                async with self._redis().pubsub() as pubsub:
                    async with asyncio.timeout(_ANSWER_S):
                        await pubsub.subscribe(self._channel)
                    while True:
                        message = await _next_message(pubsub)
                        tried.set()
                        pause, warned = _FIRST_PAUSE_S, False
                        if message["type"] == "message":
                            # From the loop, so that what the callback raises is reported there and ends nothing here.
                            asyncio.get_running_loop().call_soon(on_wake, _text(message["data"]))
            except self._troubles as error:
                if not warned:
                    _log.warning("wake-ups from other processes are missed: %s", type(error).__name__)
                warned = True
            finally:
                tried.set()
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # so that not all come back at once
            pause = min(2 * pause, _LONGEST_PAUSE_S)


async def _next_message(pubsub: PubSub) -> dict[str, Any]:
    """The next message of any kind, the subscription's own first; an error if not even a ping is answered."""
    message = await _read(pubsub)
    if message is None:
        await pubsub.ping()
        message = await _read(pubsub)
    if message is None:
        raise ConnectionError
    return message


async def _read(pubsub: PubSub) -> dict[str, Any] | None:
    # A task of its own: its time limit is a cancellation inside, and stays there.
    message: dict[str, Any] | None = await asyncio.create_task(pubsub.get_message(timeout=_PULSE_S))
    return message


_SAYINGS: Final = {
    "unknown command": "it does not know a command that is needed (EVAL)",
    "NOAUTH": "it wants a user and a password",
    "Authentication required": "it wants a user and a password",
    "WRONGPASS": "the user or the password is wrong",
    "invalid username-password": "the user or the password is wrong",
    "NOPERM": "this user may not run a command that is needed",
    "no permissions": "this user may not run a command that is needed",
    "read only": "it is a replica, which takes no writes",
    "OOM": "its memory is full",
    "maxmemory": "its memory is full",
    "MISCONF": "it cannot save to its disk, and takes no writes",
}
"""What a server says when it refuses, and what that means: its own words may quote what it was sent."""


def _reason(error: BaseException) -> str:
    said = str(error)
    meaning = next((meaning for saying, meaning in _SAYINGS.items() if saying in said), None)
    kind = type(error).__name__
    return kind if meaning is None else f"{kind}: {meaning}"


def _text(data: Any) -> str:
    return data.decode() if isinstance(data, bytes) else str(data)


def _made(url: str) -> Redis:
    """A client with bounded connections, timeouts and repeats."""
    from redis.asyncio import BlockingConnectionPool, Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import ExponentialBackoff

    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=_ANSWER_S,
            socket_timeout=_ANSWER_S,
            socket_connect_timeout=_CONNECT_S,
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 2),
        )
    except ValueError:
        message = "url_or_client: not a URL that redis understands (it is not shown: it may hold a password)"
        raise ConfigurationError(message) from None
    return Redis.from_pool(pool)


def _checked(client: Any) -> Redis:
    """The user's own client, if it is one that is awaited."""
    from redis import Redis as SyncRedis

    if isinstance(client, SyncRedis) or not (hasattr(client, "eval") and hasattr(client, "pubsub")):
        message = f"url_or_client must be a URL or a redis.asyncio client, not {type(client).__module__}"
        raise ConfigurationError(message)
    return cast("Redis", client)
