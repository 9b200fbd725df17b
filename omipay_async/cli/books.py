"""``omipay books``: lists unresolved calls and unpaid orders, resolves a call, and sweeps without handlers.

Typer reads the annotations. SQLAlchemy is imported when a job runs, not when ``--help`` is shown.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import attrs
import typer

from omipay_async.errors import ConfigurationError, InvalidRequest
from omipay_async.language import sentence

from .exit_codes import Exit
from .formatting import money, plain
from .interrupts import run_until_interrupted
from .runner import Job, complain
from .translations import localized

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from omipay_async.journal import JournalEntry
    from omipay_async.session import AsyncOmipay
    from omipay_async.sql import Books, SweepReport, WaitingOrder

    from .runner import Run

T = TypeVar("T")

_ARGUMENTS: Final = {"entry_or_id": "ID", "outcome": "OUTCOME", "order_no": "--order-no"}
"""The names of the parameters of ``Books.resolve`` on the command line."""
_SILENT: Final = logging.NullHandler()
"""Without a handler, Python prints the traceback that SQLAlchemy logs when a second Ctrl-C cuts a connection off."""

app: Final = typer.Typer(rich_markup_mode="rich")

Db = Annotated[
    str | None,
    typer.Option("--db", metavar="URL", help="sqlite:///omipay.db or postgresql://...; default: OMIPAY_BOOKS_URL."),
]
Json = Annotated[bool, typer.Option("--json", help="For machines: JSON, money as integers, times as ISO 8601.")]


@app.callback(invoke_without_command=True)
def books(context: typer.Context, db: Db = None, json: Json = False) -> Job | None:
    """List the money calls whose result nobody knows, and the orders that are not paid or not fulfilled yet.

    Such a call may have moved money or not: look it up in Omipay's back office. A
    confirmed notification resolves its call by itself.

      omipay books --db sqlite:///omipay.db
      omipay books resolve ID DONE --order-no TR1812060010011263009795
      omipay books sweep
    """
    if context.invoked_subcommand is not None:
        context.default_map = {context.invoked_subcommand: {"db": db, "json": json}}  # given before the subcommand
        return None
    return Job(lambda run: _list(run, db), json)


@app.command()
def resolve(
    entry_id: Annotated[str, typer.Argument(metavar="ID", help="The whole ID that omipay books shows.")],
    outcome: Annotated[str, typer.Argument(metavar="OUTCOME", help="DONE, NOT_DONE or UNKNOWN.")],
    order_no: Annotated[
        str | None, typer.Option(metavar="N", help="The gateway's number of the order that was made.")
    ] = None,
    db: Db = None,
    json: Json = False,
) -> Job:
    """Write down what you found out about a call in Omipay's back office.

    If an order was made, give its number: the next sweep asks the gateway about
    it.

      omipay books resolve b1bed6c9db0bda29865c5f8d7ba68534 NOT_DONE
    """
    return Job(lambda run: _resolve(run, db, entry_id, outcome.upper(), order_no), json)


@app.command()
def sweep(
    db: Db = None,
    limit: Annotated[int, typer.Option(min=1, help="The largest number of orders to ask about.")] = 1000,
    json: Json = False,
) -> Job:
    """Ask the gateway about every order that is due, and mark what is paid.

    It does not run your handler: the next sweep of your own program fulfils what
    is found paid here.

      omipay books sweep --db postgresql://shop@localhost/shop
    """
    return Job(lambda run: _sweep(run, db, limit), json)


# -- the work ---------------------------------------------------------------------------------------------------------


def _opened(db: str | None) -> Books:
    """The books at ``db``, or else at OMIPAY_BOOKS_URL.

    Raises:
        ConfigurationError: neither is given, the extra is missing, or the file does not exist.
    """
    url = (db or os.environ.get("OMIPAY_BOOKS_URL", "")).strip()
    if not url:
        raise ConfigurationError(
            sentence("--db or OMIPAY_BOOKS_URL must be the URL of the books, such as sqlite:///omipay.db")
        )
    from omipay_async.config import check_quotes

    check_quotes("--db or OMIPAY_BOOKS_URL", url)
    logging.getLogger("sqlalchemy").addHandler(_SILENT)
    try:
        from omipay_async.sql import Books
        from omipay_async.sql.engines import missing_file
    except ImportError as error:
        raise ConfigurationError(str(error)) from None
    try:
        books = Books(url)
    except ConfigurationError as error:
        raise ConfigurationError(str(error).replace("url_or_engine", "--db or OMIPAY_BOOKS_URL", 1)) from None
    if (file := missing_file(url)) is not None:
        message = sentence("there is no file {}: go to the folder of your program, or give the whole path", file)
        raise ConfigurationError(message)
    return books


def _ask(db: str | None, work: Callable[[Books], Awaitable[T]]) -> T:
    async def with_books() -> T:
        async with _opened(db) as books:
            return await work(books)

    return run_until_interrupted(with_books)


def _list(run: Run, db: str | None) -> None:
    async def ask(books: Books) -> tuple[list[JournalEntry], list[JournalEntry], list[WaitingOrder]]:
        from omipay_async.sql.books import LARGEST_LIMIT

        open_calls = await books.unresolved(in_flight=True)
        unresolved = await books.unresolved()
        known = {(entry.m_number, entry.id) for entry in unresolved}
        under_way = [entry for entry in open_calls if (entry.m_number, entry.id) not in known]
        return unresolved, under_way, await books.waiting(limit=LARGEST_LIMIT)  # the number that is shown must be true

    unresolved, under_way, waiting = _ask(db, ask)
    document = {
        "unresolved": list(map(attrs.asdict, unresolved)),
        "in_flight": list(map(attrs.asdict, under_way)),
        "waiting": list(map(attrs.asdict, waiting)),
    }
    lines = [sentence("Calls whose result nobody knows: {}", len(unresolved)), *map(_line_of_call, unresolved)]
    if under_way:  # whoever looks just after a crash must not believe that nothing is open
        heading = sentence("Calls that are still under way, or that a crash has just cut off: {}", len(under_way))
        lines += [heading, *map(_line_of_call_under_way, under_way)]
    lines.append(sentence("Orders that are not paid or not fulfilled yet: {}", len(waiting)))
    lines += map(_line_of_order, waiting)
    run.show(document, *lines)


def _line_of_call(entry: JournalEntry) -> str:
    cut_off = localized(sentence("its program died or could not write")) if entry.outcome is None else None
    return _columns(*_of_call(entry), entry.error or cut_off)


def _line_of_call_under_way(entry: JournalEntry) -> str:
    until = entry.until.isoformat(sep=" ", timespec="seconds")
    return _columns(*_of_call(entry), localized(sentence("look again after {}", until)))


def _of_call(entry: JournalEntry) -> tuple[str | None, ...]:
    number = entry.out_order_no
    if entry.out_refund_no is not None:  # the back office finds a refund by its order
        number = f"{entry.out_refund_no} ({entry.order_no})"
    started = entry.started_at.isoformat(sep=" ", timespec="seconds")
    return entry.id, started, entry.m_number, entry.endpoint, number, _amount(entry)


def _line_of_order(order: WaitingOrder) -> str:
    due = order.due_at.isoformat(sep=" ", timespec="seconds")
    parts = (order.order_no, order.m_number, order.out_order_no, _amount(order), order.status)
    return _columns(*parts, localized(sentence("next query at {}", due)))


def _amount(of: JournalEntry | WaitingOrder) -> str | None:
    return None if of.amount is None else localized(money(of.amount, of.currency))


def _columns(*values: str | None) -> str:
    """A line with every column, with ``-`` for a missing value."""
    return "  " + plain("  ".join(value or "-" for value in values))


def _resolve(run: Run, db: str | None, entry_id: str, outcome: str, order_no: str | None) -> None:
    try:
        _ask(db, lambda books: books.resolve(entry_id, outcome, order_no=order_no))
    except InvalidRequest as error:
        name = error.parameter or ""
        message = str(error).replace(name, _ARGUMENTS.get(name, name), 1)
        raise InvalidRequest(message, parameter=name) from None
    run.show({"id": entry_id, "outcome": outcome, "order_no": order_no})


def _sweep(run: Run, db: str | None, limit: int) -> Exit:
    opened = _opened(db)

    async def ask(omipay: AsyncOmipay) -> SweepReport:
        async with opened as books:
            return await books.sweep(omipay, None, limit=limit)

    last, logger = _LastWarning(logging.WARNING), logging.getLogger("omipay_async")
    logger.addHandler(last)
    try:
        report = run.ask(ask)
    finally:
        logger.removeHandler(last)
    run.show(attrs.asdict(report))
    if not report.errors:
        return Exit.DONE
    complain(sentence("orders that could not be asked about: {}; the last one: {}", report.errors, last.text))
    return Exit.NO_ANSWER


class _LastWarning(logging.Handler):
    """Remembers the last warning of a sweep, which says why it could not ask about an order."""

    text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()
