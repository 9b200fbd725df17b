"""The shared backend against a real redis-server: several processes, one killed in its handler, Redis going away."""

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

from omipay_async import redis as backend_module
from omipay_async.clock import SystemClock
from omipay_async.errors import BackendError
from omipay_async.fulfilment.backends import TRANSITIONS, Backend, Claim, ClaimState, Listener, NoteKeeper, Step
from omipay_async.fulfilment.guard import OnceGuard, StillRunning
from omipay_async.models import Order
from omipay_async.redis import RedisBackend
from tests.support.redis_server import RedisServer, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

KEY = "123456:TR1"
ORDER = Order(order_no="TR1", status="PAID", out_order_no=None, currency="AUD", amount=1)
WORKER = str(Path(__file__).parent.parent / "support" / "redis_worker.py")


@pytest.fixture
def fragile(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that the test may kill, freeze and restart."""
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
def backend(redis_backend: RedisBackend) -> RedisBackend:
    return redis_backend


@pytest.fixture
async def other(server: RedisServer) -> AsyncIterator[RedisBackend]:
    """What another process would have."""
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
    """Each row of the table holds: the answer, and the state after it."""
    if state is not ClaimState.FREE:
        owner = "other" if state is ClaimState.OTHERS else "me"
        assert await backend.claim(KEY, owner) is Claim.MINE
    if state is ClaimState.DONE:
        assert await backend.finish(KEY, "me")
    after, answer = TRANSITIONS[state, step]
    assert await getattr(backend, step.lower())(KEY, "me") is answer
    held = await backend._redis().get(f"omipay:{KEY}")
    assert (
        held
        == {ClaimState.FREE: None, ClaimState.HELD: b":me", ClaimState.OTHERS: b":other", ClaimState.DONE: b"done"}[
            after
        ]
    )


async def test_leases_and_records_expire_by_themselves(server: RedisServer, backend: RedisBackend) -> None:
    """The dead hold nothing for ever, and Redis does not fill up."""
    async with RedisBackend(server.url, lease=20, keep=3600, prefix="shop-7:") as configured:
        await configured.claim(KEY, "me")
        assert 19_000 < await backend._redis().pttl(f"shop-7:{KEY}") <= 20_000
        await configured.finish(KEY, "me")
        assert 3_599_000 < await backend._redis().pttl(f"shop-7:{KEY}") <= 3_600_000
        assert await backend.claim(KEY, "me") is Claim.MINE  # another prefix is another world


async def test_one_of_many_gets_the_claim(backend: RedisBackend, other: RedisBackend) -> None:
    """A hundred claims at once, over two clients: one is MINE."""
    claims = await asyncio.gather(*((backend, other)[n % 2].claim(KEY, f"owner {n}") for n in range(100)))
    assert Counter(claims) == {Claim.MINE: 1, Claim.BUSY: 99}


async def test_it_is_a_backend_that_listens(backend: RedisBackend) -> None:
    """Sessions find out by the protocols what a backend can do."""
    assert isinstance(backend, Backend)
    assert isinstance(backend, Listener)
    assert isinstance(backend, NoteKeeper)


async def test_a_note_crosses_processes_and_is_forgotten_by_itself(backend: RedisBackend, other: RedisBackend) -> None:
    """Written here it is read there, for more than ten minutes; a claim under the same key is another thing."""
    assert await other.noted(KEY) is None
    assert await other.claim(KEY, "me") is Claim.MINE
    await backend.note(KEY, "first")
    await backend.note(KEY, '{"order_no": "TR1", "raw": "茶"}')
    assert await other.noted(KEY) == '{"order_no": "TR1", "raw": "茶"}'
    assert 600_000 < await backend._redis().pttl(f"omipay:note:{KEY}") <= 1_000_000
    assert await other.renew(KEY, "me")


# -- processes ------------------------------------------------------------------------------------------------------


async def test_processes_share_the_orders_between_them(server: RedisServer, backend: RedisBackend) -> None:
    """Three processes are notified of the same thirty orders at once: each order runs once."""
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
    """While it lives nobody runs beside it; after kill -9 its lease lapses and the next delivery runs."""
    guard = OnceGuard(backend, SystemClock(), "123456")
    with worker(server.url, "hang", "TR1") as process:
        assert await line_of(process) == "began TR1"
        with pytest.raises(StillRunning):
            await guard.run(ORDER, succeed, wait_timeout=0.8)
        process.kill()
        process.wait()
        assert await guard.run(ORDER, succeed, wait_timeout=10) is True


async def test_a_wake_up_crosses_processes(server: RedisServer, backend: RedisBackend) -> None:
    """A poller here ends when a process there confirms the order."""
    woken: asyncio.Queue[str] = asyncio.Queue()
    async with backend.listen(woken.put_nowait):
        with worker(server.url, "wake", KEY) as process:
            async with asyncio.timeout(10):
                assert await woken.get() == KEY
            await asyncio.to_thread(process.wait)


# -- Redis going away -----------------------------------------------------------------------------------------------


async def ask_everything(backend: RedisBackend) -> list[BaseException | object]:
    questions = (backend.claim, backend.renew, backend.finish, backend.release)
    answers = [question(KEY, "me") for question in questions]
    notes = backend.note(KEY, "text"), backend.noted(KEY)
    return await asyncio.gather(*answers, *notes, backend.wake(KEY), return_exceptions=True)


async def test_without_redis_every_question_is_a_backend_error_that_hides_the_password() -> None:
    """Nobody knows whether the handler may run; and the URL's password is in no traceback."""
    async with RedisBackend(f"redis://user:hunter2@127.0.0.1:{free_port()}") as backend:
        errors = await ask_everything(backend)
        assert [type(error) for error in errors] == [BackendError] * 7
        for error in errors:
            assert isinstance(error, BackendError)
            assert "hunter2" not in "".join(traceback.format_exception(error)) + repr(backend)


async def test_a_server_that_refuses_is_a_backend_error(fragile: RedisServer) -> None:
    """A wrong password, or no permission: the server's words, which may quote what it was sent, are not passed on."""
    async with RedisBackend(f"redis://nobody:hunter2@127.0.0.1:{fragile.port}") as backend:
        with pytest.raises(BackendError) as caught:
            await backend.claim(KEY, "me")
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


async def test_a_server_that_refuses_is_reported_with_its_reason(fragile: RedisServer) -> None:
    """A wrong password, a command that a user may not run, a replica: whoever set it up knows what to mend."""
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
    """Its connections are dead and its memory is empty; the next claim neither fails nor waits for a repair."""
    async with RedisBackend(fragile.url) as backend:
        assert await backend.claim(KEY, "first") is Claim.MINE
        fragile.kill()
        with pytest.raises(BackendError):
            await backend.claim(KEY, "second")
        fragile.start()
        assert await backend.claim(KEY, "second") is Claim.MINE
        assert not await backend.renew(KEY, "first")


async def test_a_handler_outlives_a_restart_of_redis(fragile: RedisServer) -> None:
    """Its renewals are repeated, and put the claim back that Redis forgot."""
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
        async with asyncio.timeout(10):
            while not await backend._redis().get(f"omipay:{KEY}"):  # the event is in Redis
                await asyncio.sleep(0.01)
        go.set()
        assert await run is True


async def test_a_redis_that_hangs_is_a_backend_error(fragile: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is bounded, with a client of the user's that has no timeouts, too."""
    async with (
        RedisBackend(fragile.url) as ours,
        redis.asyncio.Redis(port=fragile.port, socket_timeout=None) as client,
    ):
        backends = [ours, RedisBackend(client)]
        for backend in backends:
            await backend.claim(KEY, "me")
        monkeypatch.setattr(backend_module, "_ANSWER_S", 0.05)
        fragile.freeze()
        for backend in backends:
            errors = await ask_everything(backend)
            assert [type(error) for error in errors] == [BackendError] * 7
        fragile.thaw()
        monkeypatch.undo()
        for backend in backends:
            assert await backend.claim(KEY, "you") in {Claim.BUSY, Claim.DONE}


# -- listening ------------------------------------------------------------------------------------------------------


async def logged(caplog: pytest.LogCaptureFixture) -> None:
    async with asyncio.timeout(10):
        while not caplog.records:  # logging has no event
            await asyncio.sleep(0.01)


async def wake_until_heard(backend: RedisBackend, woken: asyncio.Queue[str]) -> None:
    async with asyncio.timeout(10):
        while woken.empty():
            with contextlib.suppress(BackendError):
                await backend.wake(KEY)
            await asyncio.sleep(0.01)


async def test_a_listener_survives_a_restart_and_complains_once(
    fragile: RedisServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Polls go on by interval meanwhile; wake-ups come again without anybody's doing."""
    monkeypatch.setattr(backend_module, "_LONGEST_PAUSE_S", 0.05)
    woken: asyncio.Queue[str] = asyncio.Queue()
    async with RedisBackend(fragile.url) as backend, backend.listen(woken.put_nowait):
        await wake_until_heard(backend, woken)
        fragile.kill()
        await logged(caplog)
        await asyncio.sleep(0.2)
        assert len(caplog.records) == 1
        fragile.start()
        while not woken.empty():
            woken.get_nowait()
        await wake_until_heard(backend, woken)
    assert [(record.levelno, record.name) for record in caplog.records] == [(logging.WARNING, "omipay_async")]


class Away:
    """A client whose Redis stays away."""

    eval = None

    def __init__(self) -> None:
        self.attempts = 0
        self.third = asyncio.Event()

    def pubsub(self) -> None:
        """Fail, as a connection does."""
        self.attempts += 1
        if self.attempts == 3:
            self.third.set()
        raise redis.ConnectionError


async def test_a_listener_complains_once_of_a_redis_that_stays_away(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it tries."""
    monkeypatch.setattr(backend_module, "_FIRST_PAUSE_S", 0.001)
    client: Any = Away()
    async with RedisBackend(client).listen(print), asyncio.timeout(10):
        await client.third.wait()
    assert len(caplog.records) == 1


async def test_a_listener_without_redis_enters_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    """A poll does not fail because nobody can wake it."""
    async with RedisBackend(f"redis://127.0.0.1:{free_port()}") as backend, backend.listen(print):
        pass
    assert "wake-ups" in caplog.text


async def test_a_listener_tells_silence_from_a_dead_connection(
    fragile: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Quiet hours are none of its business; a connection that died without a word is found out and replaced."""
    monkeypatch.setattr(backend_module, "_PING_AFTER_S", 0.05)
    woken: asyncio.Queue[str] = asyncio.Queue()
    async with RedisBackend(fragile.url) as backend, backend.listen(woken.put_nowait):
        await asyncio.sleep(0.2)
        assert not caplog.records
        fragile.freeze()
        await logged(caplog)
        fragile.thaw()
        await wake_until_heard(backend, woken)


async def test_a_callback_that_raises_ends_nothing(backend: RedisBackend) -> None:
    """It is reported to the loop, and the next wake-up is received."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    woken: asyncio.Queue[str] = asyncio.Queue()

    def on_wake(key: str) -> None:
        woken.put_nowait(key)
        raise ValueError(key)

    async with backend.listen(on_wake):
        for number in range(2):
            await backend.wake(f"123456:TR{number}")
            assert await woken.get() == f"123456:TR{number}"
    assert [str(context["exception"]) for context in complaints] == ["123456:TR0", "123456:TR1"]
