"""The commands that send requests: ``rate qr scan query refund refund-status``.

The number of an order is shown before the command waits for anything, so that it can be queried later.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

from omipay_async.errors import InvalidReply, InvalidRequest
from omipay_async.language import sentence
from omipay_async.protocol import endpoints, validation
from omipay_async.text import bare

from .formatting import fields, money, plain
from .runner import Run, complain, hidden, is_interactive

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from omipay_async.models import Order, Refund, ScanOrder
    from omipay_async.new_orders import QROrder
    from omipay_async.session import AsyncOmipay

_LONGEST_CODE: Final = 4096
"""In characters: what is longer is not the code of any wallet, and may have no end."""


def rate(run: Run, currency: str, base_currency: str, *, platform: str | None) -> None:
    """Call GetExchangeRate."""
    answer = run.ask(lambda omipay: omipay.get_exchange_rate(currency, base_currency, platform=platform))
    document = {"currency": currency, "base_currency": base_currency, **fields(answer)}
    through = f" ({answer.platform})" if answer.platform else ""
    run.show(document, plain(f"1 {currency} = {answer.rate:f} {base_currency}{through}"))


def query(run: Run, order_no: str, *, wait: bool, timeout: float) -> None:
    """Call QueryOrder, once or until the order is paid."""

    async def ask(omipay: AsyncOmipay) -> Order:
        if not wait:
            return await omipay.query_order(order_no)
        return await _until_paid(run, omipay, order_no, timeout, first_wait=0.0)

    run.show(fields(run.ask(ask)))


def refund_status(run: Run, refund_no: str, *, wait: bool, timeout: float | None) -> None:
    """Call QueryRefund, once or until the money has arrived."""

    async def ask(omipay: AsyncOmipay) -> Refund:
        if not wait:
            return await omipay.query_refund(refund_no)
        with run.progress(refund_no) as update:
            return await omipay.poll_until_refunded(
                refund_no, timeout=timeout, first_wait=0.0, on_status=lambda refund: update(refund.status)
            )

    run.show(fields(run.ask(ask)))


def refund(run: Run, values: Mapping[str, Any], *, yes: bool) -> None:
    """Call Refund."""
    validation.query(endpoints.REFUND, values)
    question = sentence("Refund {} minor units of order {}?", values["amount"], values["order_no"])
    run.confirm(question, yes=yes)
    receipt = run.ask(lambda omipay: omipay.refund(**values))
    run.show(fields(receipt))
    run.say(sentence("accepted, but the money has not arrived yet: omipay refund-status {}", plain(receipt.refund_no)))


def scan(run: Run, values: dict[str, Any], *, yes: bool, timeout: float) -> None:
    """Call MakeScanOrder, and wait while the customer types a password."""
    if values["qrcode"] == "-":
        values["qrcode"] = hidden(sentence("Payment code")) if is_interactive() else _piped_code()
    validation.query(endpoints.MAKE_SCAN_ORDER, values)
    amount = money(values["amount"], values["currency"])
    question = sentence("Charge {} for {!r} as {}?", amount, values["order_name"], values["out_order_no"])
    run.confirm(question, yes=yes)

    async def charge(omipay: AsyncOmipay) -> ScanOrder | Order:
        order = await omipay.make_scan_order(**values)
        run.order_no = order.order_no
        if order.is_paid:
            return order
        run.show(fields(order), f"order_no  {plain(order.order_no)}", sentence("The customer is typing a password."))
        return await _until_paid(run, omipay, order, timeout)

    run.show(fields(run.ask(charge)))


def _piped_code() -> str:
    """The first line of standard input. PowerShell writes a byte order mark first, which is not a part of the code."""
    buffer = getattr(sys.stdin, "buffer", None)
    if buffer is None:
        return bare(sys.stdin.readline(_LONGEST_CODE))
    return bare(buffer.readline(_LONGEST_CODE).decode(errors="surrogateescape"))


def qr(run: Run, values: Mapping[str, Any], *, png: Path | None, svg: Path | None, wait: bool, timeout: float) -> None:
    """Call MakeQROrder, draw the code, and wait until the order is paid."""
    for path in filter(None, (png, svg)):
        _check_writable(path)

    async def sell(omipay: AsyncOmipay) -> None:
        order = await omipay.make_qr_order(**values)
        run.order_no = order.order_no
        run.show(fields(order), f"order_no  {plain(order.order_no)}")
        _draw(run, order, png, svg)
        if wait:
            run.show(fields(await _until_paid(run, omipay, order, timeout)))

    run.ask(sell)


def _draw(run: Run, order: QROrder, png: Path | None, svg: Path | None) -> None:
    try:
        drawing = order.qr_terminal()
    except InvalidRequest as error:
        message = sentence("MakeQROrder: the order exists, but nobody can pay it: {}", plain(error))
    else:
        run.draw(drawing)
        _write(png, order.qr_png)
        _write(svg, lambda: order.qr_svg().encode())
        return
    raise InvalidReply(message, endpoint="MakeQROrder")


def _write(path: Path | None, content: Callable[[], bytes]) -> None:
    if path is None:
        return
    try:
        path.write_bytes(content())
    except OSError as error:  # the order exists and its code is in the terminal, so waiting goes on
        complain(sentence("{} was not written: {}", path, error.strerror))


def _check_writable(path: Path) -> None:
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        message = sentence("{} cannot be written: nothing was sent", path)
        raise InvalidRequest(message)


async def _until_paid(
    run: Run, omipay: AsyncOmipay, order: ScanOrder | QROrder | str, timeout: float, *, first_wait: float = 5.0
) -> Order:
    with run.progress(order if isinstance(order, str) else order.order_no) as update:
        return await omipay.poll_until_paid(
            order, first_wait=first_wait, timeout=timeout, on_status=lambda seen: update(seen.status)
        )
