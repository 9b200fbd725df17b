"""``omipay verify`` says which check a notification fails, and never that a signature proves a payment."""

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


def test_a_sound_notification_passes_every_check_and_proves_nothing(cli: Cli) -> None:
    """Exit code 0, and the warning that no receiver may do without."""
    ended = cli("verify", stdin=notification(cli))
    assert (ended.code, ended.err) == (0, "")
    assert [line.split()[:2] for line in ended.out.splitlines()[:4]] == [
        ["body", "ok"],
        ["signature", "ok"],
        ["nonce", "ok"],
        ["age", "ok"],
    ]
    assert PROVES_NOTHING in ended.out


def test_a_confirmed_notification_is_told_in_the_gateway_s_words(cli: Cli) -> None:
    """Not in those of the body."""
    ended = cli("verify", "--confirm", stdin=notification(cli))
    assert ended.code == 0
    assert "confirmed by the gateway" in ended.out
    assert "amount         450 (AUD 4.50)" in ended.out
    assert PROVES_NOTHING not in ended.out


def test_machines_read_checks_notification_and_order(cli: Cli) -> None:
    """In one document, whether it is confirmed or not."""
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
def test_a_body_that_is_none_fails_the_first_check(cli: Cli, body: str, said: str) -> None:
    """And no other is made."""
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
    """As far as the usual slips tell: which part of the signed string differs."""
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


def test_a_nonce_that_is_no_text_breaks_nothing(cli: Cli) -> None:
    """A lone surrogate is a wrong nonce, not a traceback."""
    body = json.dumps({"nonce_str": "\ud800" * 10, "timestamp": 1, "sign": "A" * 32})
    assert "the key differs" in cli("verify", stdin=body).out


def test_a_signature_of_our_own_that_comes_back_is_found_out(cli: Cli) -> None:
    """A customer took it out of a pay page's URL."""
    ended = cli("verify", stdin=notification(cli, nonce_str=TaggedNonces([TOY_SECRET_KEY])()))
    assert ended.code == 1
    assert ended.out.splitlines()[2].startswith("nonce       failed")


def test_an_old_notification_fails_unless_the_gateway_bears_it_out(cli: Cli) -> None:
    """Repeats may come late, so that with --confirm the age does not matter; --max-age lets it matter less."""
    body = notification(cli)
    cli.clock.shift(600)
    ended = cli("verify", stdin=body)
    assert ended.code == 1
    assert "signed 600 s ago" in ended.complaint
    assert cli("verify", "--max-age", "900", stdin=body).code == 0
    assert cli("verify", "--confirm", stdin=body).code == 0


def test_a_body_that_the_gateway_does_not_bear_out_is_refused(cli: Cli) -> None:
    """A good signature under ten times the amount: exit code 1."""
    ended = cli("verify", "--confirm", stdin=notification(cli, total_amount=4500))
    assert ended.code == 1
    assert "amount is not that of order" in ended.complaint


def test_a_gateway_that_cannot_be_asked_gives_no_verdict(cli: Cli) -> None:
    """Exit code 4, not 1."""
    body = notification(cli)
    cli.sandbox.faults.add(Fault.DROP_REQUEST)
    assert cli("verify", "--confirm", stdin=body).code == 4


def test_the_body_may_be_in_a_file(cli: Cli, tmp_path: Path) -> None:
    """As it was received; a file that cannot be read is bad input."""
    file = tmp_path / "body.json"
    assert cli("verify", str(file)).complaint == f"omipay: {file} cannot be read: No such file or directory"
    file.write_text(notification(cli))
    assert cli("verify", str(file)).code == 0


def test_a_person_is_told_how_to_end_the_paste(cli: Cli) -> None:
    """At a terminal."""
    ended = cli("verify", stdin=notification(cli), terminal=True)
    assert ended.err == "Paste the body, then press Ctrl-D:\n"
    assert io.StringIO(ended.out).readline().startswith("body")
