"""The command line in Chinese: every sentence and help text has a translation, and JSON does not change."""

from __future__ import annotations

import ast
import getpass
import json
import re
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Any

import pytest
import typer
from rich.cells import cell_len

from omipay_async import cli as package
from omipay_async.cli.chinese import CHINESE
from omipay_async.cli.chinese_help import CHINESE_HELP
from omipay_async.cli.commands import app
from omipay_async.cli.runner import hidden
from omipay_async.cli.translations import localize_help, localized
from omipay_async.language import sentence
from omipay_async.sandbox import PaymentCode, Sandbox
from omipay_async.testing import ManualClock

from .conftest import QR, Cli, scan

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCES = sorted(Path(package.__file__).parent.glob("*.py"))
_SHOWN = {"say", "complain", "confirm", "hidden", "report", "localized"}
"""What shows a text to people. Sentences alone can be said in two languages."""


def calls(*names: str) -> Iterator[ast.Call]:
    """The calls of these functions and methods in the command line."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in names:
                yield node


def help_paragraphs(command: Any) -> Iterator[str]:
    """Each paragraph of the help of a command, its parameters and its commands."""
    for owner in (command, *command.params):
        yield from (part for part in (getattr(owner, "help", None) or "").split("\n\n") if part)
    for each in getattr(command, "commands", {}).values():
        yield from help_paragraphs(each)


def test_every_sentence_has_a_translation_and_none_is_stale() -> None:
    """The table contains exactly the sentences of the source."""
    templates = [call.args[0] for call in calls("sentence") if not isinstance(call.args[0], ast.Attribute)]
    assert all(isinstance(template, ast.Constant) for template in templates if not isinstance(template, ast.Name))
    assert {each.value for each in templates if isinstance(each, ast.Constant)} == set(CHINESE)


def test_every_translation_has_the_same_values_in_it() -> None:
    """They have the same formats and the same order."""
    for english, chinese in CHINESE.items():
        wanted, found = (
            [each[1:] for each in Formatter().parse(text) if each[1] is not None] for text in (english, chinese)
        )
        assert found == wanted, english


def test_nothing_is_shown_that_cannot_be_translated() -> None:
    """No English text of the source is printed without being a sentence."""
    shown = list(calls(*_SHOWN))
    assert shown
    for call in shown:
        for argument in call.args[:1]:
            assert not isinstance(argument, ast.Constant) or argument.value == "", ast.unparse(call)
            words = ast.unparse(argument) if isinstance(argument, ast.JoinedStr) else ""
            assert not re.search(r"[a-z]{3,} [a-z]{2,}", re.sub(r"\{.*?\}", "", words)), ast.unparse(call)


def test_every_help_text_has_a_translation_and_none_is_stale() -> None:
    """Except examples of commands, which are the same in both languages."""
    found = {" ".join(paragraph.split()) for paragraph in help_paragraphs(typer.main.get_command(app))}
    assert set(CHINESE_HELP) <= found
    assert all(re.match(r"omipay [a-z]", paragraph) for paragraph in found - set(CHINESE_HELP))


def test_the_lines_of_a_help_text_fit_in_80_columns() -> None:
    """One column is free at each side. Typer keeps the line breaks of a paragraph, and breaks longer lines again."""
    for paragraph in help_paragraphs(typer.main.get_command(app)):
        lines = paragraph.splitlines()
        assert len(lines) == 1 or max(map(len, lines)) <= 78, paragraph


@pytest.mark.parametrize("language", ["EN", "CHS"])
def test_no_help_is_cut_off_in_80_columns(cli: Cli, monkeypatch: pytest.MonkeyPatch, language: str) -> None:
    """Chinese has no spaces at which Rich could break a line: it would end it with an ellipsis instead."""
    monkeypatch.setenv("OMIPAY_LANGUAGE", language)
    monkeypatch.setenv("COLUMNS", "80")
    program: Any = typer.main.get_command(app)
    for command in ("", *program.commands, "books resolve", "books sweep"):
        assert "…" not in cli(*command.split(), "--help").out, command
    for text in CHINESE_HELP.values():
        assert all(cell_len(line) <= 78 for line in text.splitlines()), text


def test_help_in_chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    """OMIPAY_LANGUAGE is CHS. With EN, an unknown language or none, the help is English."""
    for language, said in (
        ("CHS", "通过环境变量配置"),
        ("EN", "configured by"),
        ("", "configured by"),
        ("FR", "configured"),
    ):
        monkeypatch.setenv("OMIPAY_LANGUAGE", language)
        command = localize_help(typer.main.get_command(app))
        assert said in command.help
        assert ("付款码" in command.commands["scan"].params[4].help) is (language == "CHS")


def test_sentences_within_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that is a sentence is translated too. As a string, a sentence is English."""
    said = sentence("{} and {}", sentence("1 hour"), sentence("{} minutes", 5))
    assert (said, localized(said), localized(7)) == ("1 hour and 5 minutes", "1 hour and 5 minutes", "7")
    monkeypatch.setenv("OMIPAY_LANGUAGE", "CHS")
    assert (said, localized(said), localized("{}")) == ("1 hour and 5 minutes", "1 小时 5 分钟", "{}")


def test_a_hidden_question_in_chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends with the colon of its language."""
    monkeypatch.setattr(getpass, "getpass", lambda prompt: f"{prompt} ")
    assert hidden(sentence("Payment code")) == "Payment code:"
    monkeypatch.setenv("OMIPAY_LANGUAGE", "CHS")
    assert hidden(sentence("Payment code")) == "付款码："


CASES: list[tuple[tuple[str, ...], str]] = [
    (("books",), "--db 或 OMIPAY_BOOKS_URL"),
    (("query", "TR1", "--timeout", "-1"), "'--timeout' 的值有误：-1 不是大于 0 的秒数（请看 omipay query --help）"),
    (("qr", "Cake", "4.5", "AUD", "T1", "WECHATPAY"), "'AMOUNT' 的值有误：4.5 不是整数"),
    (("rate", "AUD"), "缺少参数 'BASE_CURRENCY'（请看 omipay rate --help）"),
    (("bogus",), "没有命令 'bogus'（相近的命令：'books'）"),
    (("xyz",), "没有命令 'xyz'（请看"),
    (("rate", "AUD", "CNY", "x"), "多余的参数：x（请看"),
    (("query", "TR1", "--timeout"), "选项 '--timeout' 后面需要一个值"),
    (("query", "TR1", "--tim", "3"), "没有选项 --tim（相近的选项：--timeout）"),
    (("query", "TR1", "--bogus"), "没有选项 --bogus（请看"),
    (("sandbox", "--port", "70000"), "Invalid value for '--port': "),
    (scan(PaymentCode.NEVER_PAYS, "--yes", "--timeout", "6"), "请勿对本笔交易再次扫码，订单 TR"),
    (scan(PaymentCode.PAID), "此操作涉及资金"),
    (scan(PaymentCode.SYSTEM_ERROR_ACTED, "--yes"), "请勿对本笔交易再次扫码"),
    (scan(PaymentCode.PAID_AFTER_QUERIES, "--yes"), "客户正在输入支付密码。"),
    ((*QR, "--timeout", "20"), "omipay query"),
    (("verify",), "正文        失败"),
    (("doctor",), "通知任何人"),
    (("sandbox", "--host", "0.0.0.0"), "而沙箱没有密码"),
]


@pytest.mark.parametrize(("arguments", "said"), CASES, ids=[" ".join(case[0][:2]) for case in CASES])
def test_commands_in_chinese(cli: Cli, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str) -> None:
    """The lines for people follow OMIPAY_LANGUAGE."""
    monkeypatch.setenv("OMIPAY_LANGUAGE", "CHS")
    monkeypatch.setenv("OMIPAY_BASE_URL", "http://127.0.0.1:9/omipay/api")
    ended = cli(*arguments, stdin="{}")
    assert said in ended.out + ended.err


def test_verify_says_in_chinese_what_is_wrong_with_a_signature(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The words are those of the sandbox's pages. In JSON they are English."""
    body = cli.sandbox.sign_notification(
        {"order_no": "TR1", "out_order_no": "T1", "currency": "AUD", "total_amount": 1}
    )
    body["sign"] = body["sign"].lower()
    monkeypatch.setenv("OMIPAY_LANGUAGE", "CHS")
    assert "签名        失败    sign 必须为大写" in cli("verify", stdin=json.dumps(body)).out
    checks = cli("verify", "--json", stdin=json.dumps(body)).document["checks"]
    assert checks[-1]["detail"] == "sign must be in upper case"


@pytest.mark.parametrize(
    "arguments",
    [
        ("demo",),
        scan(PaymentCode.SYSTEM_ERROR_ACTED, "--yes"),
        scan(PaymentCode.PAID),
        ("verify",),
        ("books",),
        ("query", "TR1"),
        ("query", "TR1", "--timeout", "0"),
        ("refund", "TR1", "R1", "4.50"),
    ],
    ids=" ".join,
)
def test_json_does_not_depend_on_the_language(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    """It is the same in every language."""
    documents = []
    for language in ("EN", "CHS"):
        monkeypatch.setenv("OMIPAY_LANGUAGE", language)
        cli.clock = ManualClock(auto=True)
        cli.sandbox = Sandbox(clock=cli.clock, seed=1)
        ended = cli(*arguments, "--json", stdin="{}")
        documents.append(re.sub(r"(TR|RF)[0-9]+", "N", ended.out))
        assert ended.out.isascii()
    assert documents[0] == documents[1]
