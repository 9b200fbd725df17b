"""The backend in Redis on a real redis-server: several processes, one killed in its handler, a Redis that goes away."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess
import sys
import traceback
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
import redis.asyncio

from omipay_async.clock import SystemClock
from omipay_async.errors import BackendError
from omipay_async.fulfilment import pauses
from omipay_async.fulfilment.backends import TRANSITIONS, Backend, Claim, ClaimState, Listener, NoteKeeper, Step
from omipay_async.fulfilment.guard import OnceGuard
from omipay_async.fulfilment.runs import StillRunning
from omipay_async.models import Order
from omipay_async.redis import RedisBackend, backend as backend_module
from tests.support.redis_server import RedisServer, free_port
from tests.support.transitions import KEY, answer_to, brought_to
from tests.support.waiting import until, wake_until_received

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

STORED = {ClaimState.FREE: None, ClaimState.HELD: b":me", ClaimState.OTHERS: b":other", ClaimState.DONE: b"done"}
ORDER = Order(order_no="TR1", status="PAID", out_order_no=None, currency="AUD", amount=1)
WORKER = str(Path(__file__).parent.parent / "support" / "redis_worker.py")


@pytest.fixture
def fragile(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that a test may kill, freeze and restart."""
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
def backend(redis_backend: RedisBackend) -> RedisBackend:
    return redis_backend


@pytest.fixture
async def other(server: RedisServer) -> AsyncIterator[RedisBackend]:
    """The backend of another process."""
    async with RedisBackend(server.url) as backend:
        yield backend


@contextlib.contextmanager
def worker(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-P", WORKER, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


async def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return (await asyncio.to_thread(process.stdout.readline)).strip()


async def succeed(order: Order) -> None: ...


# -- claims ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "step"), TRANSITIONS)
async def test_redis_follows_the_table(backend: RedisBackend, state: ClaimState, step: Step) -> None:
    """The answer is that of the table's row, and what is stored then is what processes with another version expect."""
    await brought_to(backend, state)
    after, answer = TRANSITIONS[state, step]
    assert await answer_to(backend, step) is answer
    assert await backend._redis().get(f"omipay:{KEY}") == STORED[after]


async def test_leases_and_records_expire_by_themselves(server: RedisServer, backend: RedisBackend) -> None:
    """A process that died does not hold an order for ever, and Redis does not fill up."""
    async with RedisBackend(server.url, lease=20, keep=3600, prefix="shop-7:") as configured:
        await configured.claim(KEY, "me")
        assert 19_000 < await backend._redis().pttl(f"shop-7:{KEY}") <= 20_000
        await configured.finish(KEY, "me")
        assert 3_599_000 < await backend._redis().pttl(f"shop-7:{KEY}") <= 3_600_000
        assert await backend.claim(KEY, "me") is Claim.MINE  # another prefix has other keys


async def test_one_of_a_hundred_owners_gets_the_claim(backend: RedisBackend, other: RedisBackend) -> None:
    """They claim at the same time, over two clients."""
    claims = await asyncio.gather(*((backend, other)[n % 2].claim(KEY, f"owner {n}") for n in range(100)))
    assert Counter(claims) == {Claim.MINE: 1, Claim.BUSY: 99}


async def test_it_is_a_backend_that_listens(backend: RedisBackend) -> None:
    """A session finds out by these protocols what its backend can do."""
    assert isinstance(backend, Backend)
    assert isinstance(backend, Listener)
    assert isinstance(backend, NoteKeeper)


async def test_a_note_can_be_read_in_another_process_until_it_expires(
    backend: RedisBackend, other: RedisBackend
) -> None:
    """It is kept for more than ten minutes, and apart from a claim under the same key."""
    assert await other.noted(KEY) is None
    assert await other.claim(KEY, "me") is Claim.MINE
    await backend.note(KEY, "first")
    await backend.note(KEY, '{"order_no": "TR1", "raw": "茶"}')
    assert await other.noted(KEY) == '{"order_no": "TR1", "raw": "茶"}'
    assert 600_000 < await backend._redis().pttl(f"omipay:note:{KEY}") <= 1_000_000
    assert await other.renew(KEY, "me")


# -- processes ------------------------------------------------------------------------------------------------------


async def test_processes_share_the_orders_between_them(server: RedisServer, backend: RedisBackend) -> None:
    """Three processes are notified of the same thirty orders: the handler of each order runs once."""
    orders = [f"TR{number}" for number in range(30)]
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(worker(server.url, "fulfil", *orders)) for _ in range(3)]
        assert [await line_of(process) for process in workers] == ["ready"] * 3
        printed = await asyncio.gather(*(asyncio.to_thread(process.communicate, "go\n") for process in workers))
    ran = [line.removeprefix("ran ") for out, _ in printed for line in out.splitlines()]
    assert sorted(ran) == sorted(orders)


async def test_another_takes_over_from_a_process_killed_in_its_handler(
    server: RedisServer, backend: RedisBackend
) -> None:
    """While that process lives no other runs the handler; after kill -9 the next delivery does when the lease ends."""
    guard = OnceGuard(backend, SystemClock(), "123456")
    with worker(server.url, "hang", "TR1") as process:
        assert await line_of(process) == "began TR1"
        with pytest.raises(StillRunning):
            await guard.run(ORDER, succeed, wait_timeout=0.8)
        process.kill()
        process.wait()
        assert await guard.run(ORDER, succeed, wait_timeout=10) is True


async def test_a_wake_up_of_another_process_is_received(server: RedisServer, backend: RedisBackend) -> None:
    """It calls the listener of this process with the key."""
    woken: asyncio.Queue[str] = asyncio.Queue()
    async with backend.listen(woken.put_nowait):
        with worker(server.url, "wake", KEY) as process:
            async with asyncio.timeout(60):
                assert await woken.get() == KEY
            await asyncio.to_thread(process.wait)


async def test_what_another_program_publishes_or_writes_does_no_harm(
    backend: RedisBackend, caplog: pytest.LogCaptureFixture
) -> None:
    """Bytes that are not UTF-8 neither end the listener nor are they an error."""
    woken: asyncio.Queue[str] = asyncio.Queue()
    client = backend._redis()
    async with backend.listen(woken.put_nowait), asyncio.timeout(60):
        await client.publish("omipay:wake", b"\xff\xfe")
        await backend.wake(KEY)
        assert [await woken.get(), await woken.get()] == ["\ufffd\ufffd", KEY]
    await client.set(f"omipay:note:{KEY}", b"\xff")
    assert await backend.noted(KEY) == "\ufffd"
    assert caplog.messages == []


# -- Redis going away -----------------------------------------------------------------------------------------------


async def call_every_method(backend: RedisBackend) -> list[BaseException | object]:
    methods = (backend.claim, backend.renew, backend.finish, backend.release)
    answers = [method(KEY, "me") for method in methods]
    notes = backend.note(KEY, "text"), backend.noted(KEY)
    return await asyncio.gather(*answers, *notes, backend.wake(KEY), return_exceptions=True)


async def test_without_redis_every_method_raises_a_backend_error_without_the_password() -> None:
    """The password of the URL is neither in the traceback nor in the backend's ``repr``."""
    async with RedisBackend(f"redis://user:hunter2@127.0.0.1:{free_port()}") as backend:
        errors = await call_every_method(backend)
        assert [type(error) for error in errors] == [BackendError] * 7
        for error in errors:
            assert isinstance(error, BackendError)
            assert "hunter2" not in "".join(traceback.format_exception(error)) + repr(backend)


async def test_the_error_for_a_wrong_password_does_not_show_it(fragile: RedisServer) -> None:
    """The server's own message, which may quote what it was sent, is not passed on."""
    async with RedisBackend(f"redis://nobody:hunter2@127.0.0.1:{fragile.port}") as backend:
        with pytest.raises(BackendError) as caught:
            await backend.claim(KEY, "me")
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


async def test_the_error_says_why_the_server_refused(fragile: RedisServer) -> None:
    """The reason may be a wrong password, a command that the user may not run, or that the server is a replica."""
    admin: Any = redis.asyncio.Redis(port=fragile.port)
    async with admin:
        await admin.execute_command("ACL", "SETUSER", "weak", "on", ">hunter2", "~*", "+ping")
        for user, reason in (("weak:hunter2@", "may not run"), ("weak:hunter3@", "password is wrong")):
            async with RedisBackend(f"redis://{user}127.0.0.1:{fragile.port}") as backend:
                with pytest.raises(BackendError, match=reason) as caught:
                    await backend.claim(KEY, "me")
                assert "hunter" not in str(caught.value)
        await admin.execute_command("REPLICAOF", "127.0.0.1", "1")
        async with RedisBackend(fragile.url) as backend:
            with pytest.raises(BackendError, match="replica"):
                await backend.claim(KEY, "me")


async def test_a_redis_that_restarts_is_used_again(fragile: RedisServer) -> None:
    """The next claim uses a new connection, although the old ones are broken, and succeeds."""
    async with RedisBackend(fragile.url) as backend:
        assert await backend.claim(KEY, "first") is Claim.MINE
        fragile.kill()
        with pytest.raises(BackendError):
            await backend.claim(KEY, "second")
        fragile.start()
        assert await backend.claim(KEY, "second") is Claim.MINE
        assert not await backend.renew(KEY, "first")


async def test_a_handler_goes_on_when_redis_restarts(fragile: RedisServer) -> None:
    """Its next renewal makes the claim again that Redis forgot."""
    async with RedisBackend(fragile.url, lease=2) as backend:
        guard = OnceGuard(backend, SystemClock(), "123456")
        began, go = asyncio.Event(), asyncio.Event()

        async def handler(order: Order) -> None:
            began.set()
            await go.wait()

        run = asyncio.create_task(guard.run(ORDER, handler, wait_timeout=1))
        await began.wait()
        fragile.kill()
        fragile.start()
        async with asyncio.timeout(60):
            while not await backend._redis().get(f"omipay:{KEY}"):  # the event is in Redis
                await asyncio.sleep(0.01)
        go.set()
        assert await run is True


async def test_a_redis_that_hangs_is_a_backend_error(fragile: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """That takes a limited time, also with a client of the user's that has no timeouts."""
    async with (
        RedisBackend(fragile.url) as ours,
        redis.asyncio.Redis(port=fragile.port, socket_timeout=None) as client,
    ):
        backends = [ours, RedisBackend(client)]
        for backend in backends:
            await backend.claim(KEY, "me")
        monkeypatch.setattr(backend_module, "ANSWER_S", 0.05)
        fragile.freeze()
        for backend in backends:
            errors = await call_every_method(backend)
            assert [type(error) for error in errors] == [BackendError] * 7
        fragile.thaw()
        monkeypatch.undo()
        for backend in backends:
            assert await backend.claim(KEY, "you") in {Claim.BUSY, Claim.DONE}


# -- listening ------------------------------------------------------------------------------------------------------


async def test_a_listener_goes_on_after_a_restart_and_logs_one_warning(
    fragile: RedisServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wake-ups are received again once Redis is there."""
    monkeypatch.setattr(pauses, "LONGEST_PAUSE_S", 0.05)
    woken: asyncio.Queue[str] = asyncio.Queue()
    async with RedisBackend(fragile.url) as backend, backend.listen(woken.put_nowait):
        await wake_until_received(backend, KEY, woken)
        fragile.kill()
        await until(lambda: caplog.records)
        await asyncio.sleep(0.2)
        assert len(caplog.records) == 1
        fragile.start()
        while not woken.empty():
            woken.get_nowait()
        await wake_until_received(backend, KEY, woken)
    assert [(record.levelno, record.name) for record in caplog.records] == [(logging.WARNING, "omipay_async")]


class Away:
    """A client whose Redis cannot be reached."""

    eval = None

    def __init__(self) -> None:
        self.attempts = 0
        self.third = asyncio.Event()

    def pubsub(self) -> None:
        """Fail as a connection does."""
        self.attempts += 1
        if self.attempts == 3:
            self.third.set()
        raise redis.ConnectionError


async def test_a_listener_logs_one_warning_while_redis_cannot_be_reached(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not matter how often it tries."""
    monkeypatch.setattr(pauses, "FIRST_PAUSE_S", 0.001)
    client: Any = Away()
    async with RedisBackend(client).listen(print), asyncio.timeout(60):
        await client.third.wait()
    assert len(caplog.records) == 1


async def test_a_listener_that_has_worked_for_a_while_logs_the_next_failure(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And tries again soon."""
    monkeypatch.setattr(backend_module, "_WORKED_S", -1.0)
    monkeypatch.setattr(pauses, "FIRST_PAUSE_S", 0.001)
    client: Any = Away()
    async with RedisBackend(client).listen(print), asyncio.timeout(60):
        await client.third.wait()
        await until(lambda: len(caplog.records) == 3)


async def test_a_listener_can_be_entered_without_redis(caplog: pytest.LogCaptureFixture) -> None:
    """A poll does not fail because it cannot be woken."""
    async with RedisBackend(f"redis://127.0.0.1:{free_port()}") as backend, backend.listen(print):
        pass
    assert "wake-ups" in caplog.text


async def test_a_listener_replaces_a_dead_connection_and_keeps_a_silent_one(
    fragile: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A connection is dead if a PING is not answered."""
    monkeypatch.setattr(backend_module, "_PING_AFTER_S", 0.2)
    woken: asyncio.Queue[str] = asyncio.Queue()
    async with RedisBackend(fragile.url) as backend, backend.listen(woken.put_nowait):
        await asyncio.sleep(0.5)
        assert not caplog.records
        fragile.freeze()
        await until(lambda: caplog.records)
        fragile.thaw()
        await wake_until_received(backend, KEY, woken)


async def test_a_callback_that_raises_does_not_end_the_listener(
    backend: RedisBackend, complaints: list[dict[str, Any]]
) -> None:
    """The exception is reported to the event loop, and the next wake-up is received."""
    woken: asyncio.Queue[str] = asyncio.Queue()

    def on_wake(key: str) -> None:
        woken.put_nowait(key)
        raise ValueError(key)

    async with backend.listen(on_wake):
        for number in range(2):
            await backend.wake(f"123456:TR{number}")
            assert await woken.get() == f"123456:TR{number}"
    assert [str(context["exception"]) for context in complaints] == ["123456:TR0", "123456:TR1"]
