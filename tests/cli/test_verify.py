"""``omipay verify`` shows which check a notification fails, and warns that a signature proves no payment."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from omipay_async import TaggedNonces
from omipay_async.cli.verify import PROVES_NOTHING
from omipay_async.sandbox import TOY_SECRET_KEY, Fault

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Cli


def notification(cli: Cli, **changes: Any) -> str:
    return cli.sandbox.notification(cli.sold(), **changes).decode()


def test_a_valid_notification_passes_every_check_and_proves_nothing(cli: Cli) -> None:
    """Exit code 0, with the warning."""
    ended = cli("verify", stdin=notification(cli))
    assert (ended.code, ended.err) == (0, "")
    assert [line.split()[:2] for line in ended.out.splitlines()[:4]] == [
        ["body", "ok"],
        ["signature", "ok"],
        ["nonce", "ok"],
        ["age", "ok"],
    ]
    assert PROVES_NOTHING in ended.out


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "gbk"])
def test_a_piped_body_is_read_as_it_was_received(cli: Cli, encoding: str) -> None:
    """Whatever encoding this machine has for text, which would change a number that is not ASCII."""
    cli.sold(out_order_no="订单1")
    (order,) = cli.sandbox.ledger.orders
    body = json.dumps(json.loads(cli.sandbox.notification(order)), ensure_ascii=False).encode()
    ended = cli("verify", "--confirm", "--json", stdin=body, encoding=encoding)
    assert (ended.code, ended.document["notification"]["out_order_no"]) == (0, "订单1")


def test_a_pasted_body_has_the_encoding_of_the_terminal(cli: Cli) -> None:
    """What a person pastes are characters, and not bytes."""
    cli.sold(out_order_no="订单1")
    (order,) = cli.sandbox.ledger.orders
    body = json.dumps(json.loads(cli.sandbox.notification(order)), ensure_ascii=False)
    assert cli("verify", "--confirm", stdin=body, encoding="gbk", terminal=True).code == 0


def test_a_confirmed_notification_shows_the_gateway_s_record(cli: Cli) -> None:
    """It does not show the values of the body."""
    ended = cli("verify", "--confirm", stdin=notification(cli))
    assert ended.code == 0
    assert "confirmed by the gateway" in ended.out
    assert "amount         450 (AUD 4.50)" in ended.out
    assert PROVES_NOTHING not in ended.out


def test_checks_notification_and_order_as_json(cli: Cli) -> None:
    """In one document, whether or not it is confirmed."""
    body = notification(cli)
    document = cli("verify", "--json", stdin=body).document
    assert [check["ok"] for check in document["checks"]] == [True] * 4
    assert document["notification"]["amount"] == 450
    assert document["order"] is None
    confirmed = cli("verify", "--confirm", "--json", stdin=body).document
    assert confirmed["order"]["is_paid"] is True


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "it is empty"),
        ("not JSON", "it is not JSON"),
        ("[]", "not an object"),
        ("{}", "no nonce_str"),
    ],
)
def test_a_body_that_is_not_a_notification_fails_the_first_check(cli: Cli, body: str, said: str) -> None:
    """The other checks are not made."""
    ended = cli("verify", stdin=body)
    assert ended.code == 1
    assert ended.out.startswith("body        failed")
    assert "signature" not in ended.out.splitlines()[1:2]
    assert said in ended.complaint
    assert ended.complaint.startswith("omipay: MalformedNotification: ")


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("someone else's", "the key differs"),
        (f"{TOY_SECRET_KEY}\n", "white space after it"),
    ],
)
def test_a_wrong_signature_is_explained(cli: Cli, key: str, said: str) -> None:
    """It shows which part of the signed string is probably wrong."""
    order_no = cli.sold()
    cli.sandbox.merchant.secret_key = key
    body = cli.sandbox.notification(order_no)
    cli.sandbox.merchant.secret_key = TOY_SECRET_KEY
    ended = cli("verify", "--json", stdin=body.decode())
    assert ended.code == 1
    assert ended.document["checks"][-1] == {
        "name": "signature",
        "ok": False,
        "detail": ended.document["checks"][-1]["detail"],
    }
    assert said in ended.document["checks"][-1]["detail"]
    assert (ended.document["error"], ended.document["exit_code"]) == ("InvalidSignature", 1)
    assert TOY_SECRET_KEY not in ended.out + ended.err


def test_a_nonce_that_is_not_valid_text_is_wrong(cli: Cli) -> None:
    """A lone surrogate does not cause a traceback."""
    fields = {"nonce_str": "\ud800" * 10, "timestamp": 1, "sign": "A" * 32}
    assert "the key differs" in cli("verify", stdin=json.dumps(fields)).out


def test_a_signature_under_keys_in_another_case_is_explained_too(cli: Cli) -> None:
    """The keys of a body are read whatever their case is."""
    body = json.dumps({"NONCE_STR": "a" * 10, "TimeStamp": 1, "SIGN": "A" * 32})
    assert "the key differs" in cli("verify", stdin=body).out


def test_a_signature_of_our_own_that_comes_back_is_recognised(cli: Cli) -> None:
    """A customer could take it from the URL of a pay page."""
    ended = cli("verify", stdin=notification(cli, nonce_str=TaggedNonces([TOY_SECRET_KEY])()))
    assert ended.code == 1
    assert ended.out.splitlines()[2].startswith("nonce       failed")


def test_an_old_notification_fails_unless_the_gateway_confirms_it(cli: Cli) -> None:
    """Repeats may come late, so the age does not matter with --confirm. --max-age changes the limit."""
    body = notification(cli)
    cli.clock.shift(600)
    ended = cli("verify", stdin=body)
    assert ended.code == 1
    assert "signed 600 s ago" in ended.complaint
    assert cli("verify", "--max-age", "900", stdin=body).code == 0
    assert cli("verify", "--confirm", stdin=body).code == 0


def test_a_body_that_the_gateway_does_not_confirm_is_rejected(cli: Cli) -> None:
    """A valid signature with ten times the amount is exit code 1."""
    ended = cli("verify", "--confirm", stdin=notification(cli, total_amount=4500))
    assert ended.code == 1
    assert "amount is not that of order" in ended.complaint


def test_a_gateway_that_cannot_be_asked_is_exit_code_4(cli: Cli) -> None:
    """It is not a refusal, which would be 1."""
    body = notification(cli)
    cli.sandbox.faults.add(Fault.DROP_REQUEST)
    assert cli("verify", "--confirm", stdin=body).code == 4


def test_the_body_may_be_in_a_file(cli: Cli, tmp_path: Path) -> None:
    """It is read as it was received. A file that cannot be read is bad input."""
    file = tmp_path / "body.json"
    assert cli("verify", str(file)).complaint == f"omipay: {file} cannot be read: No such file or directory"
    file.write_text(notification(cli))
    assert cli("verify", str(file)).code == 0


def test_the_body_may_be_the_argument(cli: Cli) -> None:
    """It is read as from a file, and never taken for the name of a file, which an error would show."""
    cli.sold(out_order_no="订单//1")
    (order,) = cli.sandbox.ledger.orders
    body = json.dumps(json.loads(cli.sandbox.notification(order)), ensure_ascii=False)
    ended = cli("verify", f"\ufeff {body}\n", "--confirm", "--json")
    assert (ended.code, ended.document["notification"]["out_order_no"]) == (0, "订单//1")
    assert cli("verify", body[:-1]).complaint.startswith("omipay: MalformedNotification")


def test_a_dash_is_standard_input(cli: Cli) -> None:
    """Other programs take it so, too."""
    assert cli("verify", "-", stdin=notification(cli)).code == 0


def test_no_more_is_read_than_a_notification_may_have(cli: Cli) -> None:
    """A device has no end: what is too long is refused like any long body."""
    ended = cli("verify", "/dev/zero")
    assert (ended.code, "longer than 65536 bytes" in ended.out) == (1, True)


def test_the_prompt_shows_how_to_end_the_paste(cli: Cli) -> None:
    """The input is a terminal."""
    ended = cli("verify", stdin=notification(cli), terminal=True)
    assert ended.err.startswith("Paste the body, then press Ctrl-D")
    assert io.StringIO(ended.out).readline().startswith("body")
