"""What the README and the guides promise: an install that works, their size, programs and commands that exist."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any, Final

import pytest
import typer
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

import omipay_async
from omipay_async import Currency, Region
from omipay_async.cli.commands import app
from omipay_async.cli.exit_codes import Exit
from omipay_async.sandbox import PaymentCode, Sandbox
from omipay_async.testing import ManualClock
from tests.support.markdown import DOCS, ROOT, blocks, links

if TYPE_CHECKING:
    from pathlib import Path

README: Final = ROOT / "README.md"
PAGES: Final = [README, *sorted(DOCS.rglob("*.md"))]
WRITTEN_BY_HAND: Final = [page for page in PAGES if page.name != "reference.md"]
RUN: Final = {
    "README.md": {"first.py", "fulfilment.py", "sandbox_example.py"},
    "books.md": {"shop.py", "create.py", "till.py", "worker.py", "orm.py", "office.py"},
    "bot.md": {"aiogram_bot.py", "ptb_bot.py", "purchases.py"},
    "notifications.md": {"by_hand.py", "handler.py", "with_redis.py"},
    "operations.md": {"logging_setup.py", "structlog_setup.py", "metrics.py", "traces.py", "key_change.py"},
    "shop.md": {"shop.py", "fastapi_shop.py", "aiohttp_shop.py", "refund.py", "refunds.py"},
    "testing.md": {"test_till.py", "test_lost_reply.py", "test_books.py", "test_shop.py", "test_fastapi_shop.py"},
    "till.md": {"till.py", "notify.py"},
    "web.md": {
        "shop.py",
        "fastapi_app.py",
        "aiohttp_app.py",
        "starlette_app.py",
        "litestar_app.py",
        "quart_app.py",
        "django_asgi.py",
        "django_views.py",
    },
    "worker.md": {
        "effect.py",
        "own_process.py",
        "make_order.py",
        "arq_worker.py",
        "taskiq_worker.py",
        "celery_worker.py",
        "arq_enqueue.py",
        "taskiq_enqueue.py",
        "celery_enqueue.py",
    },
}
"""The programs that the tests of this folder run. (The Chinese pages print the same ones.)"""
_COMMAND: Final = re.compile(r"(?:^\$? ?|`)(?:[\w./]*/)?omipay (?P<arguments>[a-z][^`\n#]*)", re.MULTILINE)


def test_the_build_can_read_the_version() -> None:
    """``pip install .`` fails where it cannot."""
    metadata = ProjectMetadata(str(ROOT), PluginManager())
    assert metadata.version == omipay_async.__version__
    assert metadata.core.license_files == ["omipay_async/LICENSE"]


def test_the_readme_is_short_and_leads_to_each_guide() -> None:
    """It has 250 lines at most, and a link to each guide."""
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 250
    targets = set(links(README))
    for page in DOCS.glob("*.md"):
        assert f"omipay_async/docs/{page.name}" in targets, page.name


ANSWERED: Final = {
    "README.md": {
        "You need a merchant account at Omipay",
        "An order without a `notify_url` can be paid too, but nobody is notified",
        'language="EN"',
        "under a new `out_order_no`",
        "Nothing is printed until your program configures logging",
        "MIT",
    },
    "books.md": {"MySQL", "connection.run_sync"},
    "notifications.md": {
        "Whoever opens the backend closes it",
        "Without a `notify_url` Omipay sends nothing",
        "you need a tunnel",
    },
    "operations.md": {
        "OpenTelemetry",
        "trio",
        "A library does not print by itself",
        "Remove `OMIPAY_BASE_URL`",
        "In an IDE",
        "Jupyter",
        "not your `out_order_no`",
    },
    "shop.md": {
        "Without a `notify_url` there is no notification",
        "qr_svg",
        "from_attributes=True",
        "not by `order_no`",
        'platform="ALIPAY"',
        "No document says when an order ends",
    },
    "testing.md": {
        "dependency_overrides",
        "asyncio_mode = auto",
        "anyio_backend",
        "freezegun",
        "leads to `/omipay/notify`",
    },
    "till.md": {
        "on_status",
        "18:03 on a Saturday",
        "merchant portal",
        "A page for the cashier",
        "wait_for_notification",
        "call `books.sweep` after each sale",
    },
    "web.md": {"many do in PHP", "one session for the process"},
}
"""What new users asked and no page said."""


@pytest.mark.parametrize("page", ANSWERED)
def test_what_new_users_asked_is_answered(page: str) -> None:
    """Each question has its answer on the page where it comes up."""
    path = README if page == "README.md" else DOCS / page
    text = " ".join(path.read_text(encoding="utf-8").replace("**", "").split())
    assert [words for words in ANSWERED[page] if words not in text] == []


def test_the_extras_are_those_of_the_package() -> None:
    """Each extra has a row; those whose names begin with ``dev-`` are for parts of the tests."""
    extras = ProjectMetadata(str(ROOT), PluginManager()).core.optional_dependencies
    text = README.read_text(encoding="utf-8")
    for name in (extra for extra in extras if not extra.startswith("dev-")):
        assert f"`{name}`" in text, name


def test_the_exit_codes_are_those_of_the_command_line() -> None:
    """Each is said, in their order."""
    text = README.read_text(encoding="utf-8")
    said = text[text.index("an exit code that a script can trust: ") :].split("\n\n")[0]
    assert [int(code) for code in re.findall(r"[:;]\s(\d+) ", said)] == sorted(Exit)


async def test_the_first_lines_of_the_readme_run() -> None:
    """They charge a code, also where the customer types a password."""
    first = blocks(README)[0].code
    clock = ManualClock(auto=True)
    async with Sandbox(clock=clock) as sandbox:
        for number, code in enumerate((PaymentCode.PAID, PaymentCode.PAID_AFTER_QUERIES)):
            program = "async def main():\n" + "".join(f"    {line}\n" for line in first.splitlines())
            names: dict[str, Any] = {
                "AsyncOmipay": lambda *_, region: sandbox.session(),
                "Region": Region,
                "Currency": Currency,
                "code": code,
            }
            exec(program.replace("T1-000231", f"T1-{number}"), names)
            await names["main"]()
        assert [order.is_paid for order in sandbox.ledger.orders.values()] == [True, True]


@pytest.mark.parametrize("page", WRITTEN_BY_HAND, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_program_is_one_that_a_test_runs(page: Path) -> None:
    """Only the README's first lines are not a file."""
    unnamed = [block.line for block in blocks(page) if block.file is None]
    assert len(unnamed) == (1 if page.name == "README.md" else 0), unnamed
    assert {block.file for block in blocks(page)} - {None} == RUN.get(page.name, set())


@pytest.mark.parametrize("page", WRITTEN_BY_HAND, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_command_that_a_page_names_exists(page: Path) -> None:
    """With each of its options."""
    for found in _COMMAND.finditer(page.read_text(encoding="utf-8")):
        words = shlex.split(found["arguments"])
        command: Any = typer.main.get_command(app)
        while words and hasattr(command, "commands") and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        assert command.name != "omipay", found[0]
        known = {name for parameter in command.params for name in parameter.opts} | {"--help"}
        options = {word for word in words if word.startswith("--")}
        assert options <= known, found[0]


@pytest.mark.parametrize(("guide", "longest"), [("worker.md", 60), ("bot.md", 80)])
def test_the_programs_of_workers_and_bots_are_short(guide: str, longest: int) -> None:
    """A reader can take in each of them at a glance."""
    lengths = {block.file: len(block.code.splitlines()) for block in blocks(DOCS / guide) if block.file}
    assert {name: lines for name, lines in lengths.items() if lines > longest} == {}
