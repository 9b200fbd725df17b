"""A cluster, a second event loop, a Redis that refuses, a listener that dies: it works, or the error says why."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any, Self

import pytest
import redis
import redis.asyncio

from omipay_async import redis as backend_module
from omipay_async.errors import BackendError, ConfigurationError
from omipay_async.fulfilment.backends import Claim
from omipay_async.redis import RedisBackend
from tests.support.redis_server import RedisServer, free_port
from tests.support.untyped import untyped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = "123456:TR1"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A cluster of one node, which has all the slots."""
    options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    with RedisServer(tmp_path_factory.mktemp("cluster"), *options) as server:
        with redis.Redis(port=server.port, decode_responses=True) as admin:
            command: Callable[..., Any] = admin.execute_command  # untyped there
            command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            deadline = time.monotonic() + 20
            while "cluster_state:ok" not in str(command("CLUSTER INFO")).replace("'", "").replace(" ", ""):
                assert time.monotonic() < deadline
                time.sleep(0.02)
        yield server


# -- a cluster ------------------------------------------------------------------------------------------------------


async def test_a_cluster_does_all_that_a_single_server_does(cluster: RedisServer) -> None:
    """Claims, records, notes and wake-ups."""
    woken: asyncio.Queue[str] = asyncio.Queue()
    async with redis.asyncio.RedisCluster(host="127.0.0.1", port=cluster.port) as client:
        backend = RedisBackend(untyped(client))  # it is not a Redis, and does the same
        assert await backend.claim(KEY, "me") is Claim.MINE
        assert await backend.claim(KEY, "you") is Claim.BUSY
        assert await backend.renew(KEY, "me")
        await backend.release(KEY, "me")
        assert await backend.finish(KEY, "you")
        assert await backend.claim(KEY, "me") is Claim.DONE
        await backend.note(KEY, "text")
        assert await backend.noted(KEY) == "text"
        async with asyncio.timeout(20), backend.listen(woken.put_nowait):
            await backend.wake(KEY)
            assert await woken.get() == KEY


async def test_a_cluster_that_is_away_is_a_backend_error() -> None:
    """It raises errors that are not Redis' own: they come out as one all the same."""
    client: Any = redis.asyncio.RedisCluster(host="127.0.0.1", port=free_port())
    with pytest.raises(BackendError, match="a request to redis failed: RedisCluster"):
        await RedisBackend(client).claim(KEY, "me")
    await client.aclose()


class NoPubsub:
    """A cluster client before redis 8."""

    async def eval(self) -> None:
        """It can be asked, but it cannot subscribe."""


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (NoPubsub, r"NoPubsub has no pubsub\(\).*redis 8"),
        (lambda: redis.RedisCluster.__new__(redis.RedisCluster), "not redis.cluster.RedisCluster"),
    ],
)
def test_a_client_that_cannot_do_it_is_refused(make: Callable[[], Any], why: str) -> None:
    """One that is not awaited, and one that cannot subscribe: the error says which and why."""
    with pytest.raises(ConfigurationError, match=why):
        RedisBackend(make())


# -- a second event loop --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Redis", "RedisCluster"])
def test_a_client_that_was_closed_works_in_a_second_loop(cluster: RedisServer, kind: str) -> None:
    """It connects again; there is nothing of the first loop in it."""
    client = getattr(redis.asyncio, kind)(host="127.0.0.1", port=cluster.port)
    backend = RedisBackend(client, prefix=f"{kind}:")

    async def ask() -> list[object]:
        answers = [await backend.claim(KEY, "me"), await backend.renew(KEY, "me")]
        await client.aclose()
        return answers

    assert [asyncio.run(ask()), asyncio.run(ask())] == [[Claim.MINE, True]] * 2


def foreign_loop() -> None:
    """What asyncio raises for a connection of a loop that is closed."""
    raise RuntimeError("Event loop is closed")


class FailingClient:
    """A client whose every use fails as told."""

    def __init__(self, fail: Callable[[], object]) -> None:
        self.fail = fail
        self.attempts: list[float] = []
        self.fifth = asyncio.Event()

    async def eval(self, *_: object) -> None:
        """Fail."""
        self.fail()

    def pubsub(self) -> Any:
        """Fail."""
        self.attempts.append(asyncio.get_running_loop().time())
        if len(self.attempts) == 5:
            self.fifth.set()
        return self.fail()


def test_the_error_tells_of_the_other_loop() -> None:
    """And does not, while the loop is the first one."""
    client: Any = FailingClient(foreign_loop)
    backend = RedisBackend(client)

    async def error() -> str:
        with pytest.raises(BackendError) as caught:
            await backend.claim(KEY, "me")
        return str(caught.value)

    assert asyncio.run(error()) == "a request to redis failed: RuntimeError"
    assert "first used in another event loop" in asyncio.run(error())


# -- listeners that die ---------------------------------------------------------------------------------------------


def unexpected() -> None:
    """What no Redis raises."""
    raise LookupError("redis://:hunter2@host")


def cancelled() -> None:
    """A time limit inside of the client that comes out as a cancellation."""
    raise asyncio.CancelledError


@pytest.mark.parametrize("fail", [unexpected, cancelled, foreign_loop])
async def test_a_listener_comes_back_whatever_killed_it(
    fail: Callable[[], None], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is logged once, without the text, which may hold a password; the pauses grow."""
    monkeypatch.setattr(backend_module, "_FIRST_PAUSE_S", 0.01)
    client: Any = FailingClient(fail)
    async with asyncio.timeout(10), RedisBackend(client).listen(print):
        await client.fifth.wait()
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "wake-ups from other processes are missed" in record.getMessage()
    assert "hunter2" not in caplog.text
    assert client.attempts[4] - client.attempts[3] > 0.04  # at least half of the fourth pause, 0.08 s


class BadToLeave:
    """A subscription that cannot be left without an error."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        raise LookupError

    async def subscribe(self, channel: str) -> None:
        """Never answer."""
        await asyncio.Event().wait()


async def test_leaving_a_listener_ends_it_although_its_client_fails() -> None:
    """The cancellation is not lost in the error that the client raises while it cleans up."""
    client: Any = FailingClient(BadToLeave)
    backend = RedisBackend(client)
    entering = asyncio.ensure_future(backend.listen(print).__aenter__())
    while not client.attempts:
        await asyncio.sleep(0)
    entering.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        async with asyncio.timeout(5):
            await entering
    assert len(client.attempts) == 1


# -- refusals -------------------------------------------------------------------------------------------------------


async def test_each_refusal_says_its_reason(tmp_path: Path) -> None:
    """No password given, no memory left, EVAL taken away: in words of our own, without the URL."""
    with RedisServer(tmp_path, "--rename-command", "EVAL", "") as server:
        async with RedisBackend(server.url) as backend:
            with pytest.raises(BackendError, match="EVAL"):
                await backend.claim(KEY, "me")
    with RedisServer(tmp_path) as server:
        async with redis.asyncio.Redis(port=server.port) as admin, RedisBackend(server.url) as backend:
            await admin.config_set("maxmemory", "1")
            for question in (backend.claim(KEY, "me"), backend.note(KEY, "text")):
                with pytest.raises(BackendError, match="memory is full"):
                    await question
            await admin.config_set("maxmemory", "0")
            await admin.config_set("requirepass", "hunter2")
        async with RedisBackend(server.url) as backend:
            with pytest.raises(BackendError, match="needs a user and a password") as caught:
                await backend.claim(KEY, "me")
            assert str(server.port) not in str(caught.value)
