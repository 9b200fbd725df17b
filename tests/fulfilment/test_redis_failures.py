"""The backend in Redis with a cluster, a second event loop, a server that refuses, and a listener that fails."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import time
from typing import TYPE_CHECKING, Any, Self
from unittest.mock import AsyncMock

import pytest
import redis
import redis.asyncio
import redis.sentinel

from omipay_async.clock import SystemClock
from omipay_async.errors import BackendError, ConfigurationError
from omipay_async.fulfilment import pauses
from omipay_async.fulfilment.backends import Claim
from omipay_async.fulfilment.leases import Lease, Unsettled
from omipay_async.redis import RedisBackend, failures
from tests.support.redis_server import RedisServer, free_port
from tests.support.untyped import untyped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

KEY = "123456:TR1"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A cluster with one node, which has all the slots."""
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


async def test_a_cluster_can_do_what_a_single_server_can(cluster: RedisServer) -> None:
    """Claims, records, notes and wake-ups work."""
    woken: asyncio.Queue[str] = asyncio.Queue()
    async with redis.asyncio.RedisCluster(host="127.0.0.1", port=cluster.port) as client:
        backend = RedisBackend(untyped(client))  # it has the same methods, but is not a Redis to type checkers
        assert await backend.claim(KEY, "me") is Claim.MINE
        assert await backend.claim(KEY, "you") is Claim.BUSY
        assert await backend.renew(KEY, "me")
        await backend.release(KEY, "me")
        assert await backend.finish(KEY, "you")
        assert await backend.claim(KEY, "me") is Claim.DONE
        await backend.note(KEY, "text")
        assert await backend.noted(KEY) == "text"
        async with asyncio.timeout(60), backend.listen(woken.put_nowait):
            await backend.wake(KEY)
            assert await woken.get() == KEY


async def test_a_cluster_that_cannot_be_reached_is_a_backend_error() -> None:
    """Its client raises errors that are not those of a single server's client."""
    client: Any = redis.asyncio.RedisCluster(host="127.0.0.1", port=free_port())
    with pytest.raises(BackendError, match="a request to redis failed: RedisCluster"):
        await RedisBackend(client).claim(KEY, "me")
    await client.aclose()


class NoPubsub:
    """A cluster client before redis 8."""

    async def eval(self) -> None:
        """It can run scripts, but it cannot subscribe."""


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (NoPubsub, r"NoPubsub has no pubsub\(\).*redis 8"),
        (lambda: redis.RedisCluster.__new__(redis.RedisCluster), "not redis.cluster.RedisCluster"),
    ],
)
def test_an_unsuitable_client_is_refused(make: Callable[[], Any], why: str) -> None:
    """The error names the client and says that it cannot subscribe, or that its calls are not awaited."""
    with pytest.raises(ConfigurationError, match=why):
        RedisBackend(make())


# -- a second event loop --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Redis", "RedisCluster"])
def test_a_client_that_was_closed_works_in_a_second_loop(cluster: RedisServer, kind: str) -> None:
    """It connects again there."""
    client = getattr(redis.asyncio, kind)(host="127.0.0.1", port=cluster.port)
    backend = RedisBackend(client, prefix=f"{kind}:")

    async def ask() -> list[object]:
        answers = [await backend.claim(KEY, "me"), await backend.renew(KEY, "me")]
        await client.aclose()
        return answers

    assert [asyncio.run(ask()), asyncio.run(ask())] == [[Claim.MINE, True]] * 2


def foreign_loop() -> None:
    """Raise what asyncio raises for a connection of a loop that is closed."""
    raise RuntimeError("Event loop is closed")


class FailingClient:
    """A client whose methods call ``fail``."""

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


def test_the_error_says_that_the_client_belongs_to_another_loop() -> None:
    """In the first event loop it does not."""
    client: Any = FailingClient(foreign_loop)
    backend = RedisBackend(client)

    async def error() -> str:
        with pytest.raises(BackendError) as caught:
            await backend.claim(KEY, "me")
        return str(caught.value)

    assert asyncio.run(error()) == "a request to redis failed: RuntimeError"
    assert "first used in another event loop" in asyncio.run(error())


# -- listeners that fail --------------------------------------------------------------------------------------------


def unexpected() -> None:
    """Raise what no client of Redis raises."""
    raise LookupError("redis://:hunter2@host")


def cancelled() -> None:
    """Raise a cancellation, as a time limit inside of the client may."""
    raise asyncio.CancelledError


@pytest.mark.parametrize("fail", [unexpected, cancelled, foreign_loop])
async def test_a_listener_connects_again_whatever_failed(
    fail: Callable[[], None], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is logged once, without the error's text, which may contain a password; the pauses grow."""
    monkeypatch.setattr(pauses, "FIRST_PAUSE_S", 0.01)
    client: Any = FailingClient(fail)
    async with asyncio.timeout(60), RedisBackend(client).listen(print):
        await client.fifth.wait()
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "wake-ups from other processes are missed" in record.getMessage()
    assert "hunter2" not in caplog.text
    assert client.attempts[4] - client.attempts[3] > 0.04  # at least half of the fourth pause, 0.08 s


class FailsAtExit:
    """A subscription whose ``__aexit__`` fails."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        raise LookupError

    async def subscribe(self, channel: str) -> None:
        """Never answer."""
        await asyncio.Event().wait()


async def test_a_listener_ends_although_its_client_fails_to_clean_up() -> None:
    """The cancellation is not replaced by the client's error."""
    client: Any = FailingClient(FailsAtExit)
    backend = RedisBackend(client)
    entering = asyncio.ensure_future(backend.listen(print).__aenter__())
    while not client.attempts:
        await asyncio.sleep(0)
    entering.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        async with asyncio.timeout(60):
            await entering
    assert len(client.attempts) == 1


# -- refusals -------------------------------------------------------------------------------------------------------


async def test_each_refusal_says_its_reason(tmp_path: Path) -> None:
    """A missing password, a full memory and a missing EVAL are described in our own words, without the URL."""
    with RedisServer(tmp_path, "--rename-command", "EVAL", "") as server:
        async with RedisBackend(server.url) as backend:
            with pytest.raises(BackendError, match="EVAL"):
                await backend.claim(KEY, "me")
    with RedisServer(tmp_path) as server:
        async with redis.asyncio.Redis(port=server.port) as admin, RedisBackend(server.url) as backend:
            await admin.config_set("maxmemory", "1")
            for request in (backend.claim(KEY, "me"), backend.note(KEY, "text")):
                with pytest.raises(BackendError, match="memory is full"):
                    await request
            await admin.config_set("maxmemory", "0")
            await admin.config_set("requirepass", "hunter2")
        async with RedisBackend(server.url) as backend:
            with pytest.raises(BackendError, match="needs a user and a password") as caught:
                await backend.claim(KEY, "me")
            assert str(server.port) not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis://:hunter2@127.0.0.1:1", "ConnectionError: Connection refused"),
        ("unix:///nowhere/redis.sock", "ConnectionError: No such file or directory"),
        ("redis://:hunter2@nowhere.invalid", "ConnectionError: .*(not known|resolution)"),
    ],
    ids=["refused", "no socket", "no name"],
)
async def test_the_error_says_why_redis_cannot_be_reached(url: str, why: str) -> None:
    """In the words of the system, without address and password."""
    async with RedisBackend(url) as backend:
        with pytest.raises(BackendError, match=f"a request to redis failed: {why}") as caught:
            await backend.claim(KEY, "me")
    assert "hunter2" not in str(caught.value)
    assert "nowhere" not in str(caught.value)


def test_the_words_of_windows_say_why_redis_cannot_be_reached() -> None:
    """Its number for a refused connection has no errno of its own."""
    refused = ConnectionRefusedError(errno.EINVAL, "The remote computer refused the network connection")
    vars(refused)["winerror"] = 1225
    failed = redis.exceptions.ConnectionError("Error 22 connecting to db.internal:6379")
    failed.__cause__ = refused
    assert failures._system_reason(failed) == "The remote computer refused the network connection"


async def test_the_error_says_that_tls_failed() -> None:
    """For example because the server does not speak it."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"-ERR this is not TLS\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with RedisBackend(f"rediss://127.0.0.1:{port}") as backend:
            with pytest.raises(BackendError, match=r"ConnectionError: TLS failed, [A-Z_]+$"):
                await backend.claim(KEY, "me")


async def test_the_error_says_what_is_wrong_with_the_database(tmp_path: Path) -> None:
    """Its number may be too large, another program may use the key, its replicas may be missing."""
    with RedisServer(tmp_path) as server:
        async with redis.asyncio.Redis(port=server.port) as admin, RedisBackend(server.url) as backend:
            await admin.lpush(f"omipay:{KEY}", "another program's")
            with pytest.raises(BackendError, match="use a prefix of your own"):
                await backend.claim(KEY, "me")
            await admin.config_set("min-replicas-to-write", "1")
            with pytest.raises(BackendError, match="too few of its replicas"):
                await backend.claim("123456:TR2", "me")
        async with RedisBackend(f"{server.url}/99") as backend:
            with pytest.raises(BackendError, match="does not have a database of this number"):
                await backend.claim(KEY, "me")


@contextlib.asynccontextmanager
async def answering(reply: bytes) -> AsyncIterator[RedisBackend]:
    """A backend whose scripts are answered ``reply``."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while received := await reader.read(10_000):
            writer.write(reply + b"\r\n" if b"EVAL" in received else b"+OK\r\n" * received.count(b"*"))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as proxy:
        port = proxy.sockets[0].getsockname()[1]
        async with RedisBackend(f"redis://127.0.0.1:{port}?protocol=2") as backend:
            yield backend


@pytest.mark.parametrize("reply", [b"+OK", b"$-1", b":5", b"$4\r\nFINE", b"$2\r\n\xff\xfe", b"*0"])
async def test_an_answer_that_is_none_of_redis_proves_nothing(reply: bytes) -> None:
    """A claim, a record or a release that a proxy answers in its own way is an error: nobody knows what happened."""
    async with answering(reply) as backend:
        for ask in (backend.claim, backend.renew, backend.finish, backend.release):
            with pytest.raises(BackendError, match="something other than redis answered"):
                await ask(KEY, "me")


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (b"LOADING Redis is loading the dataset in memory", "still reading its data"),
        (b"MASTERDOWN Link with MASTER is down", "lost its primary"),
        (b"FAILOVER Failover in progress", "taking its place"),
        (b"MOVED 3999 127.0.0.1:6381", "give a RedisCluster"),
        (b"ASK 3999 127.0.0.1:6381", "give a RedisCluster"),
        (b"CLUSTERDOWN The cluster is down", "its cluster is down"),
        (b"TRYAGAIN Multiple keys request during rehashing of slot", "moving this key"),
        (b"DENIED Redis is running in protected mode", "protected mode"),
        (b"NOPERM No permissions to access a key", "may not run"),
        (b"ERR The user executing the script can't run this command or subcommand", "may not run"),
        (b"ERR unsupported command 'EVAL'", "EVAL"),
        (b"ERR AUTH <password> called without any password configured for the default user", "it has none"),
        (b"ERR invalid password", "password is wrong"),
        (b"UNKILLABLE Sorry the script already executed write commands", "busy with a script"),
    ],
)
async def test_the_reason_is_kept_whichever_word_the_server_uses(error: bytes, why: str) -> None:
    """The client has classes of its own for some refusals, and removes the server's word for them."""
    async with answering(b"-" + error) as backend:
        with pytest.raises(BackendError, match=why) as caught:
            await backend.claim(KEY, "me")
    assert "127.0.0.1" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (redis.sentinel.MasterNotFoundError("No master found for 'mymaster'"), "Sentinel names no server"),
        (redis.ConnectionError("The previous master is now a slave"), "taking its place"),
    ],
    ids=["none", "another"],
)
async def test_a_failover_by_sentinel_is_an_error_that_says_so(
    monkeypatch: pytest.MonkeyPatch, error: Exception, why: str
) -> None:
    """Until Sentinel has chosen another server, its client raises errors of its own."""
    backend = RedisBackend(redis.asyncio.Redis(port=1))
    monkeypatch.setattr(backend._client, "eval", AsyncMock(side_effect=error))
    with pytest.raises(BackendError, match=why):
        await backend.claim(KEY, "me")


# -- eviction -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("maxmemory", "policy", "warns"),
    [("100mb", "volatile-lru", True), ("100mb", "noeviction", False), ("0", "volatile-lru", False)],
)
async def test_a_redis_that_evicts_keys_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, maxmemory: str, policy: str, warns: bool
) -> None:
    """Its records of success would be the first to go, because each of them expires."""
    with RedisServer(tmp_path, "--maxmemory", maxmemory, "--maxmemory-policy", policy) as server:
        async with RedisBackend(server.url) as backend:
            for number in range(2):
                assert await backend.claim(f"123456:TR{number}", "me") is Claim.MINE
    assert [("noeviction" in message) for message in caplog.messages] == [True] * warns


async def test_a_claim_does_not_fail_because_the_policy_cannot_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some proxies never answer INFO. The claim was granted before, and must be answered in a third of its lease."""
    backend = RedisBackend(redis.asyncio.Redis(port=1), lease=3)
    monkeypatch.setattr(backend._client, "eval", AsyncMock(return_value="MINE"))
    monkeypatch.setattr(backend._client, "info", lambda _: asyncio.Event().wait())
    lease = Lease(backend, SystemClock(), KEY, "TR1", Unsettled())
    assert await lease.claim() is Claim.MINE


async def test_a_user_who_may_not_ask_for_the_policy_is_served(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """These commands are all that is needed, and the guide names them."""
    with RedisServer(tmp_path, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru") as server:
        rules = "on >pw ~omipay:* &omipay:* +eval +get +set +del +publish +subscribe +ping"
        async with redis.asyncio.Redis(port=server.port) as admin:
            await untyped(admin).execute_command("ACL", "SETUSER", "shop", *rules.split())
        async with RedisBackend(server.url.replace("//", "//shop:pw@")) as backend, backend.listen(id):
            assert await backend.claim(KEY, "me") is Claim.MINE
            assert await backend.finish(KEY, "me")
            await backend.release(KEY, "me")
            await backend.note(KEY, "text")
            assert await backend.noted(KEY) == "text"
            await backend.wake(KEY)
    assert not caplog.messages
