"""Asyncio's event loop of Windows, over an imitation of the system below it.

On Windows a program does not ask whether a socket can be read: it asks for bytes, and the system puts them into the
program's buffer when they arrive, whatever the event loop does meanwhile. So what has arrived lies neither in the
socket nor in the protocol until the loop looks. Here that happens when the loop looks, after each write of its own, and
in ``arrive``, for a test whose server is another thread.
"""

from __future__ import annotations

import asyncio
import select
import time
from asyncio import proactor_events
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    Operation = Callable[[], Any]


class ProactorLoop(proactor_events.BaseProactorEventLoop):
    """The event loop."""

    _self_reading_future: asyncio.Future[bytes] | None
    _loop_self_reading: Callable[[], None]

    def __init__(self) -> None:
        self.system = _System()
        super().__init__(self.system)

    def arrive(self) -> None:
        """Let the system put what has arrived into the buffers that wait for it."""
        self.system.perform()

    def _make_socket_transport(self, sock: socket.socket, *arguments: Any, **options: Any) -> _Transport:
        options.pop("context", None)  # Python 3.15 passes it, and its own method takes none
        return _Transport(self, sock, *arguments, **options)

    def run_forever(self) -> None:
        """Run, and be woken by other threads and signals."""
        self.call_soon(self._loop_self_reading)
        try:
            super().run_forever()
        finally:
            if self._self_reading_future is not None:
                self._self_reading_future.cancel()
                self._self_reading_future = None


class _Transport(proactor_events._ProactorSocketTransport):
    _sock: Any

    def _call_connection_lost(self, exc: BaseException | None) -> None:
        lost = vars(proactor_events._ProactorBasePipeTransport)["_call_connection_lost"]
        try:
            lost(self, exc)
        except OSError:  # of the shutdown of a connection that was reset
            self._sock.close()
            self._sock = None


class _System:
    """The operations that were asked for, each with the future that waits for it."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[Any], tuple[socket.socket, int, Operation]] = {}
        self._done: list[tuple[asyncio.Future[Any], Operation]] = []

    def set_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def close(self) -> None:
        self._waiting.clear()

    def select(self, timeout: float | None = None) -> list[object]:
        """Wait until an operation is complete, and tell the futures of those that are."""
        end = None if timeout is None else time.monotonic() + timeout
        self.perform()
        while not self._done and (end is None or (left := end - time.monotonic()) > 0):
            poll = select.poll()
            for sock, events, _ in self._waiting.values():
                poll.register(sock, events)
            poll.poll(None if end is None else 1000 * left)
            self.perform()
        done, self._done = self._done, []
        for future, result in done:
            _set_result(future, result)
        return []

    def perform(self) -> None:
        """Perform what can be performed now."""
        for future, (sock, _, operation) in tuple(self._waiting.items()):
            if future.done() or sock.fileno() < 0:
                del self._waiting[future]
            elif (result := _outcome_of(operation)) is not None:
                del self._waiting[future]
                self._done.append((future, result))

    def _start(self, sock: socket.socket, events: int, operation: Operation) -> asyncio.Future[Any]:
        future = self._loop.create_future()
        if (result := _outcome_of(operation)) is not None:
            _set_result(future, result)
        else:
            self._waiting[future] = (sock, events, operation)
        return future

    def recv(self, sock: socket.socket, count: int) -> asyncio.Future[Any]:
        return self._start(sock, select.POLLIN, lambda: sock.recv(count))

    def recv_into(self, sock: socket.socket, buffer: bytearray) -> asyncio.Future[Any]:
        return self._start(sock, select.POLLIN, lambda: sock.recv_into(buffer))

    def send(self, sock: socket.socket, data: bytes) -> asyncio.Future[Any]:
        left = memoryview(bytes(data))

        def send_all() -> None:
            nonlocal left
            while left:
                left = left[sock.send(left) :]

        future = self._start(sock, select.POLLOUT, send_all)
        self.perform()
        return future

    def accept(self, sock: socket.socket) -> asyncio.Future[Any]:
        def accept_one() -> Any:
            connection, address = sock.accept()
            connection.setblocking(False)
            return connection, address

        return self._start(sock, select.POLLIN, accept_one)

    def connect(self, sock: socket.socket, address: Any) -> asyncio.Future[Any]:
        sock.setblocking(True)  # to this machine: it takes no time
        result = _outcome_of(lambda: sock.connect(address))
        sock.setblocking(False)
        future = self._loop.create_future()
        _set_result(future, result or _nothing)
        return future

    def _stop_serving(self, sock: socket.socket) -> None:
        """The future of its ``accept`` has been cancelled."""


def _nothing() -> None: ...


def _outcome_of(operation: Operation) -> Operation | None:
    """A function that returns what the operation did, or raises what it raised; None if it would block."""
    try:
        result = operation()
    except BlockingIOError:
        return None
    except OSError as error:
        return _raising(error)
    return lambda: result


def _raising(error: OSError) -> Operation:
    def fail() -> Any:
        raise error

    return fail


def _set_result(future: asyncio.Future[Any], result: Operation) -> None:
    if future.done():
        return
    try:
        future.set_result(result())
    except OSError as error:
        future.set_exception(error)
