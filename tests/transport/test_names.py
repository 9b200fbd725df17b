"""Names that cannot be looked up: what hangs holds few of the event loop's threads, and what fails is never sent."""

from __future__ import annotations

import asyncio
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import pytest

from omipay_async import NotSent
from omipay_async.transport import names
from omipay_async.transport.names import look_up

from .client import open_session, scan
from .server import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .server import Gateway

FEWEST_THREADS: Final = 5
"""Those of an event loop on a machine with one processor."""
LOCALHOST: Final = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 443))]


class Resolver:
    """A resolver whose name server for some names is silent."""

    def __init__(self, *silent: str) -> None:
        self.asked: list[str] = []
        self.go_on = threading.Event()
        self._silent = silent
        self._look_up = socket.getaddrinfo

    def __call__(self, host: str, port: int, *arguments: Any, **options: Any) -> Any:
        """Look a name up, in a thread of the event loop; a silent server's name when the test ends."""
        if options.get("flags", 0) & socket.AI_NUMERICHOST:
            return self._look_up(host, port, *arguments, **options)
        self.asked.append(host)
        if host in self._silent:
            self.go_on.wait(10)
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return self._look_up("127.0.0.1", port, *arguments, **options)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    """The resolver of this process."""
    resolver = Resolver("silent.localhost")
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    yield resolver
    resolver.go_on.set()


async def test_a_node_whose_name_server_is_silent_does_not_stop_the_other_node(
    gateway: Gateway, resolver: Resolver
) -> None:
    """However many charges wait for its name, and however often they have asked before."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(FEWEST_THREADS))
    other = f"http://other.localhost:{gateway.port}{ROOT}"
    async with open_session(f"http://silent.localhost:{gateway.port}{ROOT}", fallback=other) as omipay:
        for turn in range(2):
            charges = [scan(omipay, f"{turn}-{number}", timeout=1.5) for number in range(FEWEST_THREADS)]
            await asyncio.gather(*charges)
        resolver.go_on.set()
    assert len(gateway.acts) == 2 * FEWEST_THREADS
    assert resolver.asked.count("silent.localhost") == 3


async def test_a_lookup_is_shared_by_those_who_ask_while_three_are_under_way(resolver: Resolver) -> None:
    """All get its result, also if others have given up; the next one who asks starts a new one."""
    waiting = [asyncio.ensure_future(look_up("silent.localhost", 443)) for _ in range(6)]
    await asyncio.sleep(0)
    waiting.pop(2).cancel()
    resolver.go_on.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(error) for error in found] == [socket.gaierror] * 5
    assert len(resolver.asked) == 3
    with pytest.raises(socket.gaierror):
        await look_up("silent.localhost", 443)
    assert len(resolver.asked) == 4


class SlowServer:
    """A name server whose answers come when the test says so, each for itself."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: list[asyncio.Future[Any]] = []
        self._loop = asyncio.get_running_loop()
        monkeypatch.setattr(self._loop, "getaddrinfo", self._resolve)

    def _resolve(self, *_: object, **__: object) -> asyncio.Future[Any]:
        self.answers.append(self._loop.create_future())
        return self.answers[-1]


async def test_the_repeat_gets_what_a_slow_lookup_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """It took longer than connecting may, as where the first name server is down, and so would the next one."""
    monkeypatch.setattr(names, "_SLOW_S", -1)
    server = SlowServer(monkeypatch)
    asked = asyncio.ensure_future(look_up("slow.test", 443))
    await asyncio.sleep(0)
    asked.cancel()
    await asyncio.wait([asked])
    server.answers[0].set_result(LOCALHOST)
    await asyncio.sleep(0)
    assert await asyncio.gather(*(look_up("slow.test", 443) for _ in range(2))) == [LOCALHOST] * 2
    assert len(server.answers) == 1


@pytest.mark.parametrize(("slow_s", "kept_s"), [(1, 10), (-1, 0)], ids=["quick", "long ago"])
async def test_what_a_lookup_found_is_not_kept(monkeypatch: pytest.MonkeyPatch, slow_s: float, kept_s: float) -> None:
    """If it was quick, or some time ago: a name may have another address now."""
    monkeypatch.setattr(names, "_SLOW_S", slow_s)
    monkeypatch.setattr(names, "_KEPT_S", kept_s)
    server = SlowServer(monkeypatch)
    for asked in range(2):
        found = asyncio.ensure_future(look_up("slow.test", 443))
        await asyncio.sleep(0)
        assert len(server.answers) == asked + 1
        server.answers[asked].set_result(LOCALHOST)
        assert await found == LOCALHOST


async def test_a_name_whose_slow_lookup_failed_is_looked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that was down may be up now. The event loop has nothing to complain of."""
    monkeypatch.setattr(names, "_SLOW_S", -1)
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    server = SlowServer(monkeypatch)
    for asked in range(2):
        found = asyncio.ensure_future(look_up("slow.test", 443))
        await asyncio.sleep(0)
        server.answers[asked].set_exception(socket.gaierror(socket.EAI_AGAIN, "no answer"))
        with pytest.raises(socket.gaierror):
            await found
    assert complaints == []


async def test_the_first_lookup_that_finds_something_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The failure of an earlier one does not, and that of the latest ends the wait."""
    server = SlowServer(monkeypatch)
    waiting = []
    for _ in range(3):
        waiting.append(asyncio.ensure_future(look_up("slow.test", 443)))
        await asyncio.sleep(0)
    server.answers[0].set_exception(socket.gaierror(socket.EAI_AGAIN, "no answer"))
    server.answers[1].set_result(LOCALHOST)
    with pytest.raises(socket.gaierror):
        await waiting[0]
    assert await asyncio.gather(*waiting[1:]) == [LOCALHOST] * 2
    late = asyncio.ensure_future(look_up("slow.test", 443))
    await asyncio.sleep(0)
    server.answers[3].set_exception(socket.gaierror(socket.EAI_NONAME, "no such name"))
    with pytest.raises(socket.gaierror, match="no such name"):
        await late
    server.answers[2].cancel()


async def test_a_closed_session_leaves_no_lookup_behind(resolver: Resolver) -> None:
    """Its thread goes on, but no task waits for it. A lookup that another session waits for is not touched."""
    before = asyncio.all_tasks()
    other = asyncio.ensure_future(look_up("silent.localhost", 80))
    async with open_session(f"http://silent.localhost:443{ROOT}", timeout=0.1) as omipay:
        with pytest.raises(NotSent):
            await omipay.query_order("TR1")
        assert len(asyncio.all_tasks() - before) > 2  # it has tried once at least
    assert len(asyncio.all_tasks() - before) == 2  # the other one, and its lookup
    resolver.go_on.set()
    with pytest.raises(socket.gaierror):
        await other


async def test_lookups_of_other_names_and_ports_are_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The addresses contain the port."""
    asked: list[tuple[str, int]] = []

    async def resolve(host: str, port: int, **_: object) -> object:
        asked.append((host, port))
        await asyncio.sleep(0)
        return LOCALHOST

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    wanted = [("a.test", 443), ("b.test", 443), ("a.test", 80)]
    assert await asyncio.gather(*(look_up(*name) for name in wanted)) == [LOCALHOST] * 3
    assert asked == wanted
