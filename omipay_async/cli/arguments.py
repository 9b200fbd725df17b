"""The kinds of arguments that several commands take. Typer reads them as annotations."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from omipay_async.language import sentence


def minor_units(text: str) -> int:
    """Parse an amount in minor units."""
    if not text.isascii() or not text.isdigit():
        message = sentence("{} is not a whole number of minor units: A$4.50 is 450", text)
        raise typer.BadParameter(message)
    return int(text[:30])


def seconds(text: str) -> float:
    """Parse a time to wait, in seconds above 0."""
    try:
        given = float(text)
    except ValueError:
        given = math.nan
    if not 0 < given < math.inf:
        message = sentence("{} is not a number of seconds above 0", text)
        raise typer.BadParameter(message)
    return given


Json = Annotated[bool, typer.Option("--json", help="For machines: JSON, money as integers, rates as strings.")]
Yes = Annotated[
    bool,
    typer.Option("--yes", "-y", help="Do not ask for confirmation. Required where standard input is not a terminal."),
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until the status is final.")]
Timeout = Annotated[
    float, typer.Option(metavar="SECONDS", parser=seconds, help="The longest time to wait for the payment.")
]
Amount = Annotated[int, typer.Argument(metavar="AMOUNT", parser=minor_units, help="In minor units: A$4.50 is 450.")]
Currency = Annotated[str, typer.Argument(metavar="CURRENCY", help="Three capital letters: AUD, CNY.")]
OrderName = Annotated[str, typer.Argument(metavar="ORDER_NAME", help="What is sold; the customer reads it.")]
OutOrderNo = Annotated[
    str, typer.Argument(metavar="OUT_ORDER_NO", help="Your own number of the sale, a new one for each.")
]
OrderNo = Annotated[str, typer.Argument(metavar="ORDER_NO", help="The gateway's number of the order.")]
NotifyUrl = Annotated[
    str | None,
    typer.Option(metavar="URL", help="The address to which the gateway sends the notification of the payment."),
]
