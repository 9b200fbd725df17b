"""``RedisBackend``, the class that users hold: its requests, and the listener for wake-ups."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self, TypeVar

from omipay_async import options
from omipay_async.clock import completed, running_loop
from omipay_async.errors import BackendError, ConfigurationError
from omipay_async.fulfilment.backends import DEFAULT_KEEP, DEFAULT_LEASE_S, NOTES_KEPT_S, Claim
from omipay_async.fulfilment.pauses import Pauses
from omipay_async.log import logger
from omipay_async.text import plain_text
from omipay_async.transport.cancellation import caller_was_cancelled

from .clients import ANSWER_S, checked_client, client_from_url
from .failures import reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from datetime import timedelta

    from redis.asyncio import Redis
    from redis.asyncio.client import PubSub

_T = TypeVar("_T")

# backends.TRANSITIONS as Lua scripts. A claim and a renewal run the same script.
_CLAIM_SCRIPT: Final = """
local held = redis.call('GET', KEYS[1])
if held == 'done' then return 'DONE' end
if held and held ~= ARGV[1] then return 'BUSY' end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 'MINE'
"""
_FINISH_SCRIPT: Final = """
local held = redis.call('GET', KEYS[1])
if held == 'done' then return 1 end
if held and held ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], 'done', 'PX', ARGV[2])
return 1
"""
_RELEASE_SCRIPT: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
"""

_CLAIMS: Final = {claim.value: claim for claim in Claim}
_RECORDED: Final = {"1": True, "0": False}
_RELEASED: Final = {"1": None}
"""What each script answers, and what that means. Any other answer proves nothing: a proxy may give it."""

_POLICY_S: Final = 1.0
"""How long a claim may wait for the answer from which a warning follows."""
_WORKED_S: Final = 5.0
"""A listener that fails after so many seconds has worked: the failure is logged, and the pause after it is short."""
_PING_AFTER_S: Final = 10.0
"""After this much silence a listener sends a PING, to learn whether its connection is still alive."""


class RedisBackend:
    """The backend for many processes: those that use the same Redis and the same ``prefix`` (of the keys' names).

    ``url_or_client`` is ``redis://``, ``rediss://`` or ``unix://``, or a ``redis.asyncio.Redis`` of your own, which you
    close yourself. ``lease``, in seconds, is how long an order waits after the death of the process that held it;
    recorded successes are forgotten after ``keep``, seconds or a ``timedelta``. ``async with`` or :meth:`aclose` closes
    a client that was made from a URL; the session does not. Nothing is connected before the first use.

    A Redis that loses data (no persistence, keys evicted) lets a handler run again: use the policy ``noeviction``, and
    let each handler be one transaction that does no harm when it is repeated. A Redis that evicts keys is logged once
    as a WARNING.

    Raises:
        ConfigurationError: an option is wrong, or the extra is missing.
        BackendError: from its methods, whenever Redis fails.
    """

    def __init__(
        self,
        url_or_client: str | Redis,
        *,
        lease: float = DEFAULT_LEASE_S,
        prefix: str = "omipay:",
        keep: float | timedelta = DEFAULT_KEEP,
    ) -> None:
        self.lease = options.duration("lease", lease)
        self._lease_ms = max(1, round(self.lease * 1000))
        self._keep_ms = max(1, round(options.duration("keep", keep) * 1000))
        if not isinstance(prefix, str):
            raise ConfigurationError("prefix must be a string")
        self._prefix = plain_text(prefix)
        try:
            from redis import exceptions
        except ImportError as error:
            message = f'RedisBackend needs redis: pip install "omipay-async[redis]" ({error})'
            raise ConfigurationError(message) from error
        self._closing_errors = (exceptions.RedisError, OSError)
        self._url = url_or_client if isinstance(url_or_client, str) else None
        self._client = client_from_url(self._url) if self._url is not None else checked_client(url_or_client)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process: int | None = None
        self._was_asked_for_policy = False

    def __repr__(self) -> str:
        return f"<RedisBackend: lease {self.lease:g} s, prefix {self._prefix!r}>"  # a URL may hold a password

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections of a client that was made from a URL. A later use connects again.

        If this is cancelled, the connections are closed in the background.
        """
        if self._url is not None:
            await completed(self._close)

    async def _close(self) -> None:
        with contextlib.suppress(*self._closing_errors):
            await self._redis().aclose()

    async def claim(self, key: str, owner: str) -> Claim:
        """Take ``key`` for ``owner``, for ``lease`` seconds, if nobody holds it and no success is recorded."""
        claim = await self._run_script(_CLAIMS, _CLAIM_SCRIPT, key, owner, self._lease_ms)
        if not self._was_asked_for_policy:
            self._was_asked_for_policy = True
            await self._warn_of_eviction()
        return claim

    async def renew(self, key: str, owner: str) -> bool:
        """Let the lease last ``lease`` seconds from now. False: ``owner`` does not hold it any more."""
        return await self.claim(key, owner) is Claim.MINE

    async def finish(self, key: str, owner: str) -> bool:
        """Record a success. False: another owner holds the lease, and nothing was recorded."""
        return await self._run_script(_RECORDED, _FINISH_SCRIPT, key, owner, self._keep_ms)

    async def release(self, key: str, owner: str) -> None:
        """Free ``key`` for the next delivery, if ``owner`` holds it."""
        await self._run_script(_RELEASED, _RELEASE_SCRIPT, key, owner)

    async def wake(self, key: str) -> None:
        """Wake the polls of ``key`` in every process that listens."""
        async with self._request() as redis:
            await redis.publish(self._channel, key)

    async def note(self, key: str, text: str) -> None:
        """Store ``text`` under ``key`` for a quarter of an hour."""
        async with self._request() as redis:
            await redis.set(self._note_key(key), text, px=round(NOTES_KEPT_S * 1000))

    async def noted(self, key: str) -> str | None:
        """The text that is stored under ``key``; None if there is none."""
        async with self._request() as redis:
            text = await redis.get(self._note_key(key))
        return None if text is None else _as_text(text)

    @contextlib.asynccontextmanager
    async def listen(self, on_wake: Callable[[str], object]) -> AsyncIterator[None]:
        """While open, ``on_wake(key)`` is called in this loop for each ``wake(key)`` of any process, this one included.

        Entering returns once it listens, or once the first attempt has failed. Failed attempts are repeated with
        growing pauses, and logged once. What is woken while it does not listen is missed.
        """
        attempted = asyncio.Event()
        listening = asyncio.create_task(self._keep_listening(on_wake, attempted))
        try:
            await attempted.wait()
            yield
        finally:
            listening.cancel()
            await asyncio.wait((listening,))

    @property
    def _channel(self) -> str:
        return f"{self._prefix}wake"

    def _note_key(self, key: str) -> str:
        return f"{self._prefix}note:{key}"

    async def _run_script(self, answers: Mapping[str, _T], script: str, key: str, owner: str, *values: int) -> _T:
        async with self._request() as redis:
            answer = await redis.eval(script, 1, self._prefix + key, f":{owner}", *values)
        if (text := _as_text(answer)) not in answers:
            raise BackendError("a request to redis failed: something other than redis answered")
        return answers[text]

    async def _warn_of_eviction(self) -> None:
        """Log it if this Redis forgets keys when its memory is full. Not every server and user answers this."""
        with contextlib.suppress(BackendError):
            # The claim was granted already, but counts as failed if its answer takes a third of its lease.
            async with self._request(min(_POLICY_S, self.lease / 6)) as redis:
                memory = await redis.info("memory")
                evicts = memory.get("maxmemory") and memory.get("maxmemory_policy") != "noeviction"
            if evicts:
                logger.warning(
                    "this redis removes keys when its memory is full: it would forget which handlers have succeeded, "
                    "and they would run again. Set its maxmemory-policy to noeviction"
                )

    def _redis(self) -> Redis:
        """The client. One from the URL is made again for another event loop, and in a fork of the process.

        Its connections belong to the old one: of two processes, each could read the answers to the other.

        Raises:
            BackendError: the client is the user's, and was used before the fork.
            ConfigurationError: no event loop of asyncio is running.
        """
        loop, process = running_loop(), os.getpid()
        if self._loop is None:
            self._loop, self._process = loop, process
        elif self._url is not None and (self._loop is not loop or self._process != process):
            self._client, self._loop, self._process = client_from_url(self._url), loop, process
        elif self._process != process:
            raise BackendError("this client of redis was used before a fork: make the client and the backend after it")
        return self._client

    @contextlib.asynccontextmanager
    async def _request(self, seconds: float | None = None) -> AsyncIterator[Redis]:
        """The client, for a request that has ``seconds``, by default five. What it raises is a ``BackendError``."""
        client = self._redis()
        try:
            async with asyncio.timeout(ANSWER_S if seconds is None else seconds):
                yield client
        except Exception as error:  # noqa: BLE001 - RedisCluster, and a loop that is closed, raise others than Redis'
            message = f"a request to redis failed: {self._reason(error)}"
            raise BackendError(message) from None

    def _reason(self, error: BaseException) -> str:
        if isinstance(error, RuntimeError) and self._loop is not asyncio.get_running_loop():
            return (
                f"{type(error).__name__}: this client was first used in another event loop, and its connections belong "
                "to that loop; give RedisBackend a URL, or make a client and a backend for each event loop"
            )
        return reason(error)

    # -- listening --------------------------------------------------------------------------------------------------

    async def _keep_listening(self, on_wake: Callable[[str], object], attempted: asyncio.Event) -> None:
        pauses = Pauses()
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self._listen_once(on_wake, attempted)
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever it was, this listens again
                if caller_was_cancelled():
                    raise asyncio.CancelledError from None
                if asyncio.get_running_loop().time() - began > _WORKED_S:
                    pauses.reset()
                if pauses.first:
                    logger.warning("wake-ups from other processes are missed: %s", self._reason(error))
            finally:
                attempted.set()
            await asyncio.sleep(pauses.next())

    async def _listen_once(self, on_wake: Callable[[str], object], attempted: asyncio.Event) -> NoReturn:
        """Listen until the connection fails, or this is cancelled. Raises what it failed with."""
        async with self._redis().pubsub() as pubsub:
            async with asyncio.timeout(ANSWER_S):
                await pubsub.subscribe(self._channel)
            while not caller_was_cancelled():  # redis may swallow that, by the asyncio.wait_for of Python 3.11
                message = await _next_message(pubsub)
                attempted.set()
                if message["type"] == "message":
                    # By the event loop, so that it reports what the callback raises and this goes on.
                    asyncio.get_running_loop().call_soon(on_wake, _as_text(message["data"]))
        raise asyncio.CancelledError


async def _next_message(pubsub: PubSub) -> dict[str, Any]:
    """The next message of any kind, first that of the subscription. Raises if not even a ping is answered."""
    message = await _read(pubsub)
    if message is None:
        await pubsub.ping()
        message = await _read(pubsub)
    if message is None:
        raise ConnectionError
    return message


async def _read(pubsub: PubSub) -> dict[str, Any] | None:
    # In another task, because redis enforces the time limit by a cancellation.
    message: dict[str, Any] | None = await asyncio.create_task(pubsub.get_message(timeout=_PING_AFTER_S))
    return message


def _as_text(data: object) -> str:
    # Bytes that are not UTF-8 are not ours: another program may publish on this channel, or write under this key.
    return data.decode(errors="replace") if isinstance(data, bytes) else str(data)
