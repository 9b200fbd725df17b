"""The commands and their arguments, in the order of the methods. A command only reads them and returns a ``Job``.

Typer reads the annotations, so they are imported for good; what a job needs is imported when the job is asked for.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from . import books
from .arguments import (
    Amount,
    Currency,
    Json,
    NotifyUrl,
    OrderName,
    OrderNo,
    OutOrderNo,
    Timeout,
    Wait,
    Yes,
    seconds,
)
from .runner import Job, perform

if TYPE_CHECKING:
    from collections.abc import Callable

    from omipay_async.session import AsyncOmipay


app: Final = typer.Typer(
    name="omipay",
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# The class of every usage error; what Typer calls it differs between its versions.
_UsageError: Final[Any] = typer.BadParameter.__bases__[0]


def run(arguments: list[str], open_session: Callable[..., AsyncOmipay] | None) -> int:
    """Read the command line, do what it asks for, and return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Chinese shows what it can
    try:
        job = typer.main.get_command(app).main(arguments, prog_name="omipay", standalone_mode=False)
    except _UsageError as error:
        said = " ".join(error.format_message().split())
        path = error.ctx.command_path if error.ctx else "omipay"
        typer.echo(f"omipay: {said} (see {path} --help)", err=True)
        return 2
    if isinstance(job, int):  # --help, --version
        return job
    return int(perform(job, open_session or _from_env))


def _from_env(**options: Any) -> AsyncOmipay:
    from omipay_async.session import AsyncOmipay

    return AsyncOmipay.from_env(**options)


# -- the program itself -----------------------------------------------------------------------------------------------


def _version(wanted: bool) -> None:
    if wanted:
        from omipay_async import __version__

        typer.echo(f"omipay-async {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _program(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001 - the callback has dealt with it
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Omipay from the command line: WeChat Pay, Alipay and UnionPay in Australia.

    Try it first, without a merchant account:

      omipay demo      the main job, told as a timeline
      omipay sandbox   a gateway of your own; it prints what to export

    Configured by the environment, as programs are:

      OMIPAY_M_NUMBER    the merchant's number, with its leading zeros
      OMIPAY_SECRET_KEY  the API key; asked for at a terminal if it is not set
      OMIPAY_REGION      AU (default) or CN
      OMIPAY_BASE_URL    another address, up to and including /omipay/api
      OMIPAY_LANGUAGE    EN or CHS
      OMIPAY_NOTIFY_URL  where the gateway tells of payments

    Exit codes, errors are one line on standard error:

      0  done
      1  refused by the gateway, failed or declined
      2  bad input or configuration
      3  nobody knows whether money moved: do not repeat it
      4  no usable answer
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


@app.command()
def demo(json: Json = False) -> Job:
    """Watch the main job on a gateway in memory: no account, no network.

    A scan payment goes through USERPAYING to PAID and a part is given back; a QR
    order is paid and fulfilled once; then a reply is lost, the program ends, and
    its books and a notification tell what became of the charge.

      omipay demo
    """
    from . import demo as demonstration

    return Job(demonstration.demo, json)


@app.command()
def sandbox(
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8000,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    notify_delay: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Between a payment and its notification.")
    ] = 0.0,
    seed: Annotated[int | None, typer.Option(help="The same numbers and faults in each run.")] = None,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Let other machines in: nobody has to log in to the dashboard.")
    ] = False,
    use_env_credentials: Annotated[
        bool,
        typer.Option(
            "--use-env-credentials", help="Be the gateway of OMIPAY_M_NUMBER and OMIPAY_SECRET_KEY, not of a toy."
        ),
    ] = False,
    json: Json = False,
) -> Job:
    """Serve a gateway to develop against, and print the environment that leads to it.

    It has every endpoint, pay pages for browsers, notifications, and at its root
    a dashboard to pay, decline and settle with. Its merchant is a toy whose key
    opens nothing else. It answers programs and browsers of this machine only.

      omipay sandbox --port 8000 --notify-delay 2
    """
    from .serve import serve

    options: dict[str, Any] = {
        "notify_delay": notify_delay,
        "seed": seed,
        "allow_remote": allow_remote,
        "use_env_credentials": use_env_credentials,
    }
    return Job(lambda run: serve(run, host, port, **options), json)


@app.command()
def rate(
    currency: Annotated[str, typer.Argument(metavar="CURRENCY", help="Three capital letters: AUD.")],
    base_currency: Annotated[str, typer.Argument(metavar="BASE_CURRENCY", help="What one unit of it is told in: CNY.")],
    platform: Annotated[str | None, typer.Option(help="WECHATPAY (default), ALIPAY, ...")] = None,
    json: Json = False,
) -> Job:
    """Today's exchange rate, for reference.

    omipay rate AUD CNY
    omipay rate AUD CNY --platform ALIPAY --json
    """
    from . import orders

    return Job(lambda run: orders.rate(run, currency, base_currency, platform=platform), json)


@app.command()
def qr(
    *,
    order_name: OrderName,
    amount: Amount,
    currency: Currency,
    out_order_no: OutOrderNo,
    platform: Annotated[str, typer.Argument(metavar="PLATFORM", help="WECHATPAY, ALIPAY or UPI.")],
    notify_url: NotifyUrl = None,
    o_number: Annotated[str | None, typer.Option(help="The store.")] = None,
    png: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the code into this file too.")] = None,
    svg: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the code into this file too.")] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Only make the order and draw its code.")] = False,
    timeout: Timeout = 120.0,
    json: Json = False,
) -> Job:
    """Make an order, draw its QR code, and wait until it is paid.

    Shows the order's number first: with it "omipay query" asks later. With --json
    each line is an object: first the order with its qrcode, then what became of it.

      omipay qr "Flat white" 450 AUD T1-000231 WECHATPAY
      omipay qr "Flat white" 450 AUD T1-000232 ALIPAY --png code.png --no-wait
    """
    from . import exit_codes, orders

    values = {
        "order_name": order_name,
        "amount": amount,
        "currency": currency,
        "out_order_no": out_order_no,
        "platform": platform,
        "notify_url": notify_url,
        "o_number": o_number,
    }
    return Job(
        lambda run: orders.qr(run, values, png=png, svg=svg, wait=not no_wait, timeout=timeout), json, exit_codes.QR
    )


@app.command()
def scan(
    *,
    order_name: OrderName,
    amount: Amount,
    currency: Currency,
    out_order_no: OutOrderNo,
    qrcode: Annotated[
        str,
        typer.Argument(metavar="QRCODE", help="The customer's payment code; - asks for it, or reads standard input."),
    ],
    pos_no: Annotated[str, typer.Argument(metavar="POS_NO", help="The till.")],
    notify_url: NotifyUrl = None,
    yes: Yes = False,
    timeout: Timeout = 120.0,
    json: Json = False,
) -> Job:
    """Charge the payment code that a customer shows; wait while a password is typed.

    Whoever can run "ps" on this machine sees arguments: give - for the code where
    that matters.

      omipay scan "Flat white" 450 AUD T1-000231 280000000000000001 till-1
      scanner | omipay scan "Flat white" 450 AUD T1-000231 - till-1 --yes --json

    On exit code 3 nobody knows whether the customer was charged: do not scan again
    for this sale. With --json the last line tells what became of it.
    """
    from . import exit_codes, orders

    values = {
        "order_name": order_name,
        "amount": amount,
        "currency": currency,
        "out_order_no": out_order_no,
        "qrcode": qrcode,
        "pos_no": pos_no,
        "notify_url": notify_url,
    }
    return Job(lambda run: orders.scan(run, values, yes=yes, timeout=timeout), json, exit_codes.SCAN)


@app.command()
def query(order_no: OrderNo, wait: Wait = False, timeout: Timeout = 120.0, json: Json = False) -> Job:
    """What the gateway says of an order: the only word on what was paid.

    Exit code 0 means that the gateway answered, not that the order is paid: read
    "status", or "is_paid" with --json. With --wait it means paid, and 1 that the
    order will not be.

      omipay query TR1812060010011263009795
      omipay query TR1812060010011263009795 --wait --timeout 600
    """
    from . import orders

    return Job(lambda run: orders.query(run, order_no, wait=wait, timeout=timeout), json)


@app.command()
def refund(
    order_no: OrderNo,
    out_refund_no: Annotated[
        str, typer.Argument(metavar="OUT_REFUND_NO", help="Your own number of the refund: a new one for each.")
    ],
    amount: Amount,
    yes: Yes = False,
    json: Json = False,
) -> Job:
    """Give a paid order back, or a part of it, in the order's currency.

    Exit code 0 means accepted: "omipay refund-status" tells when the money has arrived.

      omipay refund TR1812060010011263009795 R-000017 200

    On exit code 3 nobody knows whether it was accepted: ask Omipay's back office.
    """
    from . import exit_codes, orders

    values = {"order_no": order_no, "out_refund_no": out_refund_no, "amount": amount}
    return Job(lambda run: orders.refund(run, values, yes=yes), json, exit_codes.REFUND)


@app.command()
def refund_status(
    refund_no: Annotated[str, typer.Argument(metavar="REFUND_NO", help="The gateway's number of the refund.")],
    wait: Wait = False,
    timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", parser=seconds, help="How long to wait; refunds take days."),
    ] = None,
    json: Json = False,
) -> Job:
    """What the gateway says of a refund.

    Exit code 0 means that it answered; with --wait, that the money has arrived.

      omipay refund-status RF1812060010011263009795
    """
    from . import orders

    return Job(lambda run: orders.refund_status(run, refund_no, wait=wait, timeout=timeout), json)


@app.command()
def verify(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="The body as received; without it standard input.")
    ] = None,
    confirm: Annotated[bool, typer.Option("--confirm", help="Ask the gateway: the only proof.")] = False,
    max_age: Annotated[
        float, typer.Option(metavar="SECONDS", parser=seconds, help="How long ago it may have been signed.")
    ] = 300.0,
    json: Json = False,
) -> Job:
    """Explain a notification: which check it fails, and what the gateway says of it.

    A valid signature proves nothing about payment: it covers no byte of the body.
    Without --confirm exit code 0 means that every check passed; with it, that the
    order is paid as the body says, however old the body is.

      omipay verify notification.json
      pbpaste | omipay verify --confirm
    """
    from .verify import verify as explain

    return Job(lambda run: explain(run, file, confirm=confirm, max_age=max_age), json)


@app.command()
def doctor(
    notify: Annotated[
        bool, typer.Option("--notify", help="Post a signed test notification to OMIPAY_NOTIFY_URL; explain the answer.")
    ] = False,
    json: Json = False,
) -> Job:
    """Check the way to the gateway, by one harmless signed query.

    Configuration, notify_url, DNS, TLS, this machine's clock, the key: each with
    advice. The test notification is about an order that no gateway knows, so a
    program that asks the gateway first refuses it: that is the right answer.

      omipay doctor
      omipay doctor --notify
    """
    from .doctor import doctor as examine

    return Job(lambda run: examine(run, notify=notify), json)


app.add_typer(books.app, name="books")
