"""``omipay verify``: which check a notification fails and, with ``--confirm``, what the gateway answers (CN 3.9)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from omipay_async.errors import (
    InvalidRequest,
    InvalidSignature,
    MalformedNotification,
    NotificationError,
    ReflectedNotification,
    StaleNotification,
)
from omipay_async.language import sentence
from omipay_async.models import Notification
from omipay_async.protocol.conversion import in_documented_case
from omipay_async.protocol.jsontext import json_object
from omipay_async.protocol.notifications import LARGEST_BODY
from omipay_async.sandbox.auth import explain
from omipay_async.sandbox.merchants import Merchant
from omipay_async.text import bare

from . import exit_codes
from .exit_codes import Exit
from .formatting import as_lines, fields, in_columns, plain
from .runner import Run, complain, is_interactive
from .translations import localized

if TYPE_CHECKING:
    from omipay_async.models import Order
    from omipay_async.session import AsyncOmipay

_MOST_READ: Final = LARGEST_BODY + 1
"""What is longer is refused, so no more of it is read: it may be a device without end."""

PROVES_NOTHING: Final = sentence(
    "A valid signature does not prove a payment, since it does not cover the body. The gateway's answer does: --confirm"
)

# In the order in which they are made. The first that fails is the last one made.
_CHECKS: Final = (
    (sentence("body"), MalformedNotification, sentence("a JSON object with what a notification must have")),
    (sentence("signature"), InvalidSignature, sentence("made with this merchant's key")),
    (sentence("nonce"), ReflectedNotification, sentence("not one that this merchant issued")),
    (sentence("age"), StaleNotification, sentence("signed a short while ago")),
)


@attrs.define
class Examination:
    """The result of the checks of a body."""

    checks: list[dict[str, Any]] = attrs.field(factory=list)
    notification: Notification | None = None
    order: Order | None = None
    error: NotificationError | None = None

    def document(self) -> dict[str, Any]:
        """The result as a JSON document."""
        found: dict[str, Any] = {"checks": self.checks}
        found["notification"] = None if self.notification is None else fields(self.notification)
        found["order"] = None if self.order is None else fields(self.order)
        return found if self.error is None else found | exit_codes.document_of(self.error, Exit.REFUSED)


def verify(run: Run, source: str | None, *, confirm: bool, max_age: float) -> Exit:
    """Explain the notification that ``source`` is or names; None: the one on standard input."""
    body = _body(source)
    key = run.secret_key()

    async def examine(omipay: AsyncOmipay) -> Examination:
        found = _examined(omipay, body, max_age, key)
        for check in found.checks:
            word = sentence("ok") if check["ok"] else sentence("failed")
            run.say(in_columns(check["name"], word, check["detail"], width=10))
        if confirm and (found.error is None or isinstance(found.error, StaleNotification)):
            found.error = None  # repeats may come late: the gateway's answer counts more than the age
            try:
                found.order = await omipay.confirm_notification(body)
            except NotificationError as error:
                found.error = error
        return found

    found = run.ask(examine)
    if run.json:
        run.show(found.document())
    _conclude(run, found)
    return Exit.DONE if found.error is None else Exit.REFUSED


def _conclude(run: Run, found: Examination) -> None:
    if found.error is not None:
        complain(f"{type(found.error).__name__}: {plain(found.error)}")
    elif found.order is not None:
        run.say(sentence("confirmed by the gateway:"))
        for line in as_lines(fields(found.order)):
            run.say(f"  {line}")
    if found.order is None:
        run.say(PROVES_NOTHING)


def _body(source: str | None) -> bytes:
    if source is None or source == "-":
        if is_interactive():
            ends = sentence("Paste the body, then press Ctrl-D (on Windows Ctrl-Z, then Enter):")
            sys.stderr.write(localized(ends) + "\n")
        return _standard_input()
    if bare(source).startswith("{"):  # the body itself, which may begin with a byte order mark
        return source.encode(errors="surrogateescape")
    try:
        with Path(source).open("rb") as opened:
            return opened.read(_MOST_READ)
    except OSError as error:
        message = sentence("{} cannot be read: {}", source, error.strerror)
    raise InvalidRequest(message, parameter="file")


def _standard_input() -> bytes:
    """What is typed; or what is piped, as bytes, since the body's encoding may not be this machine's."""
    buffer = None if is_interactive() else getattr(sys.stdin, "buffer", None)
    return sys.stdin.read(_MOST_READ).encode(errors="surrogateescape") if buffer is None else buffer.read(_MOST_READ)


def _examined(omipay: AsyncOmipay, body: bytes, max_age: float, key: str) -> Examination:
    found = Examination()
    try:
        found.notification = omipay.parse_notification(body, max_age=None)  # what is too old is shown all the same
        found.notification = omipay.parse_notification(body, max_age=max_age)
    except NotificationError as error:
        found.error = error
    for name, kind, good in _CHECKS:
        ok = not isinstance(found.error, kind)
        detail = good if ok else _why(found.error, body, Merchant(omipay.m_number, key))
        found.checks.append({"name": name, "ok": ok, "detail": detail})
        if not ok:
            break
    return found


def _why(error: NotificationError | None, body: bytes, merchant: Merchant) -> str:
    if not isinstance(error, InvalidSignature):
        return plain(error)
    received = in_documented_case(json_object(body), Notification)
    texts = {name: str(received[name]).encode(errors="replace").decode() for name in ("timestamp", "nonce_str", "sign")}
    return explain({"m_number": merchant.m_number, **texts}, merchant, {})
