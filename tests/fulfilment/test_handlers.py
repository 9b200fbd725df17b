"""Handlers: what may be one, which orders it may ask for, and when the next run may begin."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any
from unittest import mock

import attrs
import pytest

from omipay_async.errors import BackendError, InvalidRequest
from omipay_async.fulfilment.handlers import checked_handler
from omipay_async.models import Order
from tests.support.fulfilment_doubles import ORDER, FaultyBackend, Shop, forgetful, hanging
from tests.support.untyped import untyped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator

    from omipay_async.fulfilment.guard import OnceGuard

    FOR_CHECKERS = Order

OTHER = Order(order_no="TR2", status="PAID", out_order_no=None, currency="AUD", amount=1)


# -- handlers -------------------------------------------------------------------------------------------------------


def sync_handler(order: Order) -> object: ...


async def generating_handler(order: Order) -> AsyncIterator[None]:
    yield


@pytest.mark.parametrize("handler", [None, "handler", 3])
async def test_a_handler_that_cannot_be_called_is_refused(
    guard: OnceGuard, backend: FaultyBackend, handler: Any
) -> None:
    """The error names the argument, and comes before any request to the backend."""
    with pytest.raises(InvalidRequest, match="handler") as caught:
        await guard.run(ORDER, handler, wait_timeout=10)
    assert caught.value.parameter == "handler"
    assert backend.requests == []


@pytest.mark.parametrize("handler", [sync_handler, lambda order: order, print, mock.Mock(), generating_handler])
async def test_a_handler_whose_result_cannot_be_awaited_has_failed(
    guard: OnceGuard, elsewhere: OnceGuard, handler: Any
) -> None:
    """The error names the argument, and the order is free for the right handler."""
    with pytest.raises(InvalidRequest, match="async") as caught:
        await guard.run(ORDER, handler, wait_timeout=10)
    assert caught.value.parameter == "handler"
    assert await elsewhere.run(ORDER, mock.AsyncMock(), wait_timeout=0) is True


class Request(Coroutine[Any, Any, None]):
    """A coroutine of a class of its own, as a request of aiohttp is."""

    def __await__(self) -> Generator[Any, Any, None]:
        raise AssertionError

    def send(self, value: object) -> None:
        """It is not begun."""

    def throw(self, *error: object) -> None:
        """It is not begun."""

    def close(self) -> None:
        """It is not begun."""


@pytest.mark.parametrize(
    ("handler", "returned"),
    [
        (lambda order: forgetful(), "a coroutine"),
        (lambda order: asyncio.to_thread(hanging), "a coroutine"),
        (mock.AsyncMock(return_value=Request()), "Request"),
    ],
    ids=["await", "to_thread", "request"],
)
async def test_a_handler_that_forgets_to_await_its_work_has_failed(
    guard: OnceGuard, elsewhere: OnceGuard, handler: Any, returned: str
) -> None:
    """Otherwise a paid order would be recorded as fulfilled, and nothing would have been done about it."""
    with pytest.raises(InvalidRequest, match=f"it returned {returned}, which nobody has awaited") as caught:
        await guard.run(ORDER, handler, wait_timeout=10)
    assert caught.value.parameter == "handler"
    assert await elsewhere.run(ORDER, mock.AsyncMock(), wait_timeout=0) is True


async def test_a_handler_may_return_what_runs_already(guard: OnceGuard, elsewhere: OnceGuard) -> None:
    """A task of its own, whose end it does not wait for; or that task's coroutine."""
    tasks: list[asyncio.Task[None]] = []

    async def starting(order: Order) -> object:
        tasks.append(asyncio.create_task(hanging()))
        await asyncio.sleep(0)
        return tasks[-1] if order is ORDER else tasks[-1].get_coro()

    assert await guard.run(ORDER, starting, wait_timeout=10) is True
    assert await elsewhere.run(OTHER, starting, wait_timeout=10) is True
    for task in tasks:
        assert not task.done()
        task.cancel()


async def fulfils(order: Order, done: list[Order]) -> None:
    done.append(order)


def test_every_callable_may_be_a_handler(guard: OnceGuard, shop: Shop) -> None:
    """It is handed on as it is: whether it is async shows when it is called."""
    for handler in (sync_handler, shop, shop.__call__, functools.partial(fulfils, done=[]), mock.AsyncMock()):
        assert checked_handler(handler) is handler


@pytest.mark.parametrize(
    ("handler", "why"),
    [
        (
            lambda order, connection: None,
            "missing a required argument: 'connection', which books.transactional(handler) gives it",
        ),
        (lambda order, one, other: None, "missing a required argument: 'one'"),
        (lambda: None, "too many positional arguments"),
        (functools.partial(fulfils, ORDER, []), "too many positional arguments"),
    ],
    ids=["transactional", "three", "none", "partial"],
)
def test_a_handler_that_does_not_take_the_order_is_refused_before_it_is_needed(handler: Any, why: str) -> None:
    """The error says why."""
    with pytest.raises(InvalidRequest) as caught:
        checked_handler(handler, "order")
    assert str(caught.value) == f"handler cannot be called as handler(order): {why}"


def test_a_handler_that_may_take_the_order_is_not_refused(shop: Shop) -> None:
    """It may take more than the order, hide what it takes, or be written in another language than Python."""

    def more(order: Order, connection: object = None, *, log: bool = False) -> object: ...

    hidden = functools.wraps(fulfils)(lambda *anything: None)
    for handler in (more, shop, shop.__call__, functools.partial(fulfils, done=[]), mock.AsyncMock(), hidden, min):
        assert checked_handler(handler, "order") is handler


def says_nothing(order: Order) -> None: ...


class Seller:
    """Its methods are handlers."""

    def ship(self, order: Order) -> None: ...

    def evaluated(self, order: Order) -> object: ...

    evaluated.__annotations__["return"] = None  # as without `from __future__ import annotations`


@pytest.mark.parametrize("handler", [says_nothing, Seller().ship, Seller().evaluated])
async def test_a_handler_that_says_that_it_is_not_async_is_refused_before_it_runs(
    guard: OnceGuard, handler: Any
) -> None:
    """Otherwise it would ship at each delivery and each sweep, and fail each time."""
    for takes in ((), ("order",)):
        with pytest.raises(InvalidRequest) as caught:
            checked_handler(handler, *takes)
        assert str(caught.value) == "handler must be async: write async def"
    with pytest.raises(InvalidRequest, match="write async def"):
        await guard.run(ORDER, handler, wait_timeout=10)


def test_a_decorated_handler_may_say_what_the_decorator_copied() -> None:
    """``functools.wraps`` copies the annotations, too."""

    @functools.wraps(fulfils)
    def decorated(order: Order) -> Any:
        return fulfils(order, [])

    assert decorated.__annotations__["return"] == "None"
    assert checked_handler(decorated, "order") is decorated


def test_annotations_may_name_what_is_imported_for_type_checkers() -> None:
    """Python 3.14 evaluates them, unless it is told not to."""

    def annotate(form: int) -> dict[str, Any]:  # as the compiler of Python 3.14 makes it
        if form > 2:
            raise NotImplementedError
        return {"order": FOR_CHECKERS}

    handler = untyped(lambda order: None)
    handler.__annotate__ = annotate
    assert checked_handler(handler, "order") is handler
    with pytest.raises(InvalidRequest, match="too many"):
        checked_handler(functools.partial(handler, ORDER), "order")


class Wrapper:
    """A wrapper of wrapt poses as the function that it wraps, and may add an argument to those that it is given."""

    def __init__(self, wrapped: Any) -> None:
        self._wrapped = wrapped

    def __getattribute__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "_wrapped"), name)

    def __call__(self, order: Order) -> Any:
        return object.__getattribute__(self, "_wrapped")(order, [])


class Double:
    """A double that has whatever it is asked for, ``__signature__`` too."""

    def __getattr__(self, name: str) -> Any:
        return self

    def __call__(self, order: Order) -> None: ...


def unsigned(order: Order) -> None: ...


untyped(unsigned).__signature__ = 3  # inspect.signature raises TypeError


@pytest.mark.parametrize("handler", [Wrapper(fulfils), Double(), unsigned], ids=["wrapper", "double", "unsigned"])
def test_a_handler_whose_signature_cannot_be_known_is_not_refused(handler: Any) -> None:
    """It may be right, and worked before."""
    assert checked_handler(handler, "order") is handler


@pytest.mark.parametrize(
    "make",
    [
        lambda done: functools.partial(functools.partial(fulfils, done=[]), done=done),
        lambda done: lambda order: fulfils(order, done),
        lambda done: lambda order: asyncio.ensure_future(fulfils(order, done)),
        lambda done: mock.AsyncMock(side_effect=done.append),
        lambda done: functools.wraps(fulfils)(lambda order: fulfils(order, done)),
    ],
    ids=["partial", "lambda", "future", "mock", "decorated"],
)
async def test_whatever_returns_something_to_await_is_a_handler(guard: OnceGuard, make: Any) -> None:
    """Lambdas, decorated functions, partials and mocks are: their result is awaited."""
    done: list[Order] = []
    assert await guard.run(ORDER, make(done), wait_timeout=10) is True
    assert done == [ORDER]


# -- the end of a run -------------------------------------------------------------------------------------------------

STEPS = range(40)
"""More iterations of the event loop than a run that fails takes, so that the next one also begins at its very end."""


async def after(steps: int) -> None:
    for _ in range(steps):
        await asyncio.sleep(0)


@pytest.mark.parametrize("steps", STEPS)
async def test_the_next_run_begins_after_a_failure_whenever_it_comes(guard: OnceGuard, shop: Shop, steps: int) -> None:
    """There is no moment at which it would wait for a run that has ended, or would be forgotten with it."""
    failing = mock.AsyncMock(side_effect=ValueError)
    first = asyncio.create_task(guard.run(ORDER, failing, wait_timeout=None))
    await after(steps)
    second = asyncio.create_task(guard.run(ORDER, shop, wait_timeout=None))
    await after(len(STEPS))
    closing = asyncio.create_task(guard.drain(60))
    await after(len(STEPS))
    assert shop.running == 1
    assert not closing.done()
    shop.go.set()
    assert await second is True
    await closing
    with pytest.raises(ValueError, match=r"^$"):
        await first


@pytest.mark.parametrize("steps", STEPS)
async def test_drain_ends_whenever_it_is_called(guard: OnceGuard, steps: int) -> None:
    """There is no moment at which it would wait for a run that has ended."""
    run = asyncio.create_task(guard.run(ORDER, mock.AsyncMock(side_effect=ValueError), wait_timeout=None))
    await after(steps)
    await guard.drain(60)
    with pytest.raises(ValueError, match=r"^$"):
        await run


# -- handlers that ask for their own order --------------------------------------------------------------------------


@pytest.mark.parametrize("wait_timeout", [0, None])
async def test_a_handler_that_asks_for_its_own_order_gets_an_error(
    guard: OnceGuard, wait_timeout: float | None
) -> None:
    """Otherwise it would wait for itself for ever."""

    async def fulfil(order: Order) -> None:
        await guard.run(order, fulfil, wait_timeout=wait_timeout)

    with pytest.raises(BackendError, match="its own handler"):
        await guard.run(ORDER, fulfil, wait_timeout=None)


async def test_a_handler_that_asks_another_session_for_its_own_order_gets_an_error(
    guard: OnceGuard, elsewhere: OnceGuard
) -> None:
    """The other session would wait for ever for a claim that its own caller holds, however the number is spelt."""

    async def fulfil(_: Order) -> None:
        await elsewhere.run(attrs.evolve(ORDER, order_no="tr1"), fulfil, wait_timeout=None)

    with pytest.raises(BackendError, match="order tr1: its own handler"):
        await guard.run(ORDER, fulfil, wait_timeout=None)


async def test_what_a_handler_began_may_ask_for_its_order_once_it_has_ended(
    guard: OnceGuard, elsewhere: OnceGuard
) -> None:
    """A task that outlives its handler learns that the order was fulfilled, in this session and in another one."""
    ended = asyncio.Event()
    later: list[asyncio.Task[list[bool]]] = []

    async def ask() -> list[bool]:
        await ended.wait()
        return [await each.run(ORDER, handler, wait_timeout=None) for each in (guard, elsewhere)]

    async def handler(_: Order) -> None:
        later.append(asyncio.create_task(ask()))

    assert await guard.run(ORDER, handler, wait_timeout=None) is True
    ended.set()
    assert await later[0] == [False, False]


class NotAnException(BaseException):
    """What pytest.fail raises is one: it passes each ``except Exception``."""


async def test_an_order_is_free_whatever_its_handler_raised(guard: OnceGuard) -> None:
    """The next caller need not wait for the end of the lease, and what was raised reaches the first."""

    async def handler(_: Order) -> None:
        raise NotAnException

    for _ in range(2):
        with pytest.raises(NotAnException):
            await guard.run(ORDER, handler, wait_timeout=0)


async def test_a_handler_that_asks_for_its_own_order_indirectly_gets_an_error(guard: OnceGuard) -> None:
    """It does so in a task, by the handler of another order."""

    async def fulfil(order: Order) -> None:
        following = OTHER if order is ORDER else ORDER
        await asyncio.gather(guard.run(following, fulfil, wait_timeout=None))

    with pytest.raises(BackendError, match="order TR1: its own handler"):
        await guard.run(ORDER, fulfil, wait_timeout=None)


async def test_a_handler_may_ask_for_another_order(guard: OnceGuard, shop: Shop) -> None:
    """The handler of the other order runs inside of its own."""
    shop.go.set()

    async def fulfil(order: Order) -> None:
        assert await guard.run(ORDER, shop, wait_timeout=None) is True

    assert await guard.run(OTHER, fulfil, wait_timeout=None) is True
