"""The bots of the guide, against a stand-in of Telegram: they sell, are killed, start again, and tell who has paid."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

import pytest

from tests.support.markdown import DOCS, save_files

from .programs import eventually, hurry, needs, running, served, time_passes
from .telegram import TOKEN, served_telegram

if TYPE_CHECKING:
    from pathlib import Path

    from omipay_async.sandbox import Sandbox

PAID = "Paid, thank you! Your sticker is on its way."
BOTS = [
    pytest.param("aiogram_bot.py", marks=needs("aiogram")),
    pytest.param("ptb_bot.py", marks=needs("telegram")),
]


def save_bot(folder: Path) -> None:
    """Save the programs of the page, which ask every few tenths of a second in place of every few seconds."""
    save_files(DOCS / "bot.md", folder)
    changes = ("first_wait=3, interval=3", "first_wait=0.3, interval=0.3"), ("sleep(1)", "sleep(0.1)")
    hurry(folder / "purchases.py", *changes)


def orders_of(sandbox: Sandbox, chat: int) -> list[str]:
    """The order numbers of one customer."""
    return [order.order_no for order in sandbox.ledger.orders.values() if order.out_order_no.startswith(f"BOT-{chat}-")]


def states(folder: Path) -> list[str]:
    """What has become of each purchase, as the bot has written it down."""
    with contextlib.closing(sqlite3.connect(folder / "bot.db")) as db:
        return [state for (state,) in db.execute("SELECT state FROM purchase")]


def rename(folder: Path, name: str, new: str) -> None:
    """Rename a table, which whoever uses the old name learns by an error."""
    with contextlib.closing(sqlite3.connect(folder / "bot.db")) as db:
        db.execute(f"ALTER TABLE {name} RENAME TO {new}")


@pytest.mark.parametrize("bot", BOTS)
async def test_a_bot_sells_over_a_kill_and_a_restart(bot: str, tmp_path: Path) -> None:
    """Two customers at once, one who never pays, one who pays while the bot is dead, one afterwards."""
    save_bot(tmp_path)
    async with served() as (sandbox, environment), served_telegram() as (telegram, url):
        settings = environment | {"BOT_TOKEN": TOKEN, "TELEGRAM_SERVER": url}
        async with running(tmp_path, bot, **settings):
            for chat in (11, 12, 13):
                telegram.types(chat, "/buy")
            await eventually(lambda: len([said for _, said in telegram.said if said == "<photo>"]) == 3)
            await sandbox.customer.pays(orders_of(sandbox, 11)[0])
            await eventually(lambda: PAID in telegram.heard_by(11))
        # Killed. The second customer pays meanwhile, the third never does.
        await sandbox.customer.pays(orders_of(sandbox, 12)[0])
        async with running(tmp_path, bot, **settings) as program:
            telegram.types(14, "/buy")
            await eventually(lambda: "<photo>" in telegram.heard_by(14))
            await sandbox.customer.pays(orders_of(sandbox, 14)[0])
            await eventually(lambda: PAID in telegram.heard_by(14))
            async with time_passes(tmp_path / "bot.db"):
                await eventually(lambda: PAID in telegram.heard_by(12))
            program.process.terminate()
            await program.end()
        assert PAID not in telegram.heard_by(13)
        # Killed as soon as it had told the first customer, it may not have written that down: the guide says so.
        assert telegram.heard_by(11).count(PAID) <= 2
        assert [telegram.heard_by(chat).count(PAID) for chat in (12, 14)] == [1, 1]


@pytest.mark.parametrize("bot", BOTS)
async def test_customers_are_told_whatever_fails_meanwhile(bot: str, tmp_path: Path) -> None:
    """Another one has blocked the bot, a statement fails, and Telegram answers with a page that is not JSON.

    The gateway leaves ``out_order_no`` out of its answers, as the examples of both documents do.
    """
    save_bot(tmp_path)
    async with (
        served() as (sandbox, environment),
        served_telegram() as (telegram, url),
        running(tmp_path, bot, **environment, BOT_TOKEN=TOKEN, TELEGRAM_SERVER=url) as program,
    ):
        sandbox.oddities = True
        for chat in (21, 22, 23):
            telegram.types(chat, "/buy")
        await eventually(lambda: len([said for _, said in telegram.said if said == "<photo>"]) == 3)
        telegram.blocked_by.add(21)
        await sandbox.customer.pays(orders_of(sandbox, 21)[0])
        await eventually(lambda: "unreachable" in states(tmp_path))
        await sandbox.customer.pays(orders_of(sandbox, 22)[0])
        await eventually(lambda: telegram.heard_by(22) == ["<photo>", PAID])
        rename(tmp_path, "purchase", "away")
        await program.until("customers are told in a moment")
        rename(tmp_path, "away", "purchase")
        telegram.pages = 1
        await sandbox.customer.pays(orders_of(sandbox, 23)[0])
        await eventually(lambda: telegram.heard_by(23) == ["<photo>", PAID])
        assert telegram.pages == 0
