"""Which clients, URLs, event loops and durations the backend in Redis accepts."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sys
import traceback
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self
from unittest.mock import Mock

import anyio
import pytest
import redis
import redis.asyncio

from omipay_async.errors import ConfigurationError
from omipay_async.fulfilment.backends import Claim
from omipay_async.fulfilment.memory import MemoryBackend
from omipay_async.redis import RedisBackend
from tests.support.masked import Masked
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.support.redis_server import RedisServer

KEY = "123456:TR1"


@pytest.fixture
def backend(redis_backend: RedisBackend) -> RedisBackend:
    return redis_backend


@pytest.mark.parametrize("decode_responses", [True, False])
@pytest.mark.parametrize("protocol", [2, 3])
async def test_a_client_of_the_user_is_used_and_not_closed(
    server: RedisServer, backend: RedisBackend, decode_responses: bool, protocol: int
) -> None:
    """That holds whether it decodes responses or not, and for both protocols; the user closes it."""
    woken: asyncio.Queue[str] = asyncio.Queue()
    async with redis.asyncio.Redis(port=server.port, decode_responses=decode_responses, protocol=protocol) as client:
        async with RedisBackend(client) as own, own.listen(woken.put_nowait):
            assert await own.claim(KEY, "me") is Claim.MINE
            assert await own.renew(KEY, "me")
            assert await own.finish(KEY, "me")
            await own.wake(KEY)
            assert await woken.get() == KEY
        assert client.connection_pool._available_connections
        assert await own.claim(KEY, "me") is Claim.DONE


async def test_a_backend_whose_closing_is_cancelled_is_closed_in_the_background(server: RedisServer) -> None:
    """As in a cancelled scope of anyio, where each await is cancelled."""
    backend = RedisBackend(server.url, prefix="closing:")
    await backend.claim(KEY, "me")
    (connection,) = backend._redis().connection_pool._available_connections
    with anyio.CancelScope() as scope:
        scope.cancel()
        await backend.aclose()
    assert scope.cancelled_caught
    await until(lambda: not connection.is_connected, "the end of the connection")


def test_a_backend_goes_on_in_another_loop(server: RedisServer) -> None:
    """A script may call ``asyncio.run`` more than once with the same backend."""
    backend = RedisBackend(server.url, prefix="loops:")

    async def claim(owner: str) -> Claim:
        async with backend:
            return await backend.claim(KEY, owner)

    assert [asyncio.run(claim("me")), asyncio.run(claim("you"))] == [Claim.MINE, Claim.BUSY]


@pytest.mark.parametrize(
    "wrong",
    [
        "hunter2",
        "http://:hunter2@host",
        "redis://:hunter2@host:port",
        "redis://h?db=hunter2",
        "redis://:hunter2@h?ssl=true",
        "redis://:hunter2@h?retry=2",
        "rediss://h?ssl_cert_reqs=hunter2",
        "unix://:hunter2@/h?port=6379",
        None,
        redis.Redis(),
    ],
)
def test_a_wrong_url_or_client_is_refused_without_showing_it(wrong: Any) -> None:
    """A URL may contain a password, and a client whose calls are not awaited would block the event loop."""
    with pytest.raises(ConfigurationError, match="url_or_client") as caught:
        RedisBackend(wrong)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("option", ["lease", "keep"])
@pytest.mark.parametrize(
    "value", [10**400, 10**5000, 1e300, float("inf"), float("nan"), 0, "30"], ids=lambda value: type(value).__name__
)
def test_durations_that_are_too_long_or_not_numbers_are_refused(option: str, value: Any) -> None:
    """The error names the option when the backend is made, instead of an overflow at the first claim."""
    for make in (functools.partial(RedisBackend, "redis://127.0.0.1"), MemoryBackend):
        with pytest.raises(ConfigurationError, match=option):
            make(**{option: value})


def test_a_prefix_counts_by_its_content() -> None:
    """Whatever its class prints: otherwise another process would use other keys."""
    assert "prefix 'sydney:'" in repr(RedisBackend("redis://127.0.0.1:1", prefix=Masked("sydney:")))


@pytest.mark.parametrize("prefix", [b"omipay:", None, 5])
def test_a_prefix_that_is_not_a_string_is_refused(prefix: Any) -> None:
    """Python would write it into the keys as it prints it."""
    with pytest.raises(ConfigurationError, match=r"^prefix must"):
        RedisBackend("redis://127.0.0.1:1", prefix=prefix)


def test_redis_accepts_the_longest_durations(server: RedisServer) -> None:
    """``timedelta.max`` means that records are never forgotten."""

    async def claim() -> Claim:
        async with RedisBackend(server.url, prefix="long:", lease=1e13, keep=timedelta.max) as backend:
            assert await backend.claim(KEY, "me") is Claim.MINE
            assert await backend.finish(KEY, "me")
            return await backend.claim(KEY, "you")

    assert asyncio.run(claim()) is Claim.DONE


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigurationError, match=r"omipay-async\[redis\]"):
        RedisBackend("redis://127.0.0.1")


class SwallowsCancellation:
    """A subscription that ends well although it was cancelled, as with the ``asyncio.wait_for`` of Python 3.11."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def subscribe(self, channel: str) -> None:
        """Subscribe when it is cancelled."""
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    async def get_message(self, *, timeout: float) -> None:
        """Never receive anything."""
        await asyncio.Event().wait()


async def test_a_listener_ends_although_its_client_swallows_the_cancellation() -> None:
    """A session that is closed just after it has begun to listen does not wait, and leaves no connection behind."""
    client: Any = Mock(pubsub=Mock(side_effect=SwallowsCancellation))
    entering = asyncio.ensure_future(RedisBackend(client).listen(print).__aenter__())
    while not client.pubsub.called:
        await asyncio.sleep(0)
    entering.cancel()
    async with asyncio.timeout(60):
        await asyncio.wait((entering,))
    assert entering.cancelled()
