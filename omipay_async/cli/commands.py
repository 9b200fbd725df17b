"""The commands and their arguments, in the order of the session's methods. A command only returns a ``Job``.

Typer reads the annotations, so their types are imported here; what a job needs is imported with the job.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from . import books, exit_codes
from .arguments import Amount, Currency, Json, NotifyUrl, OrderName, OrderNo, OutOrderNo, Timeout, Wait, Yes, seconds
from .runner import Job

app: Final = typer.Typer(
    name="omipay",
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


# -- the program itself -----------------------------------------------------------------------------------------------


def _version(wanted: bool) -> None:
    if wanted:
        from omipay_async import __version__

        typer.echo(f"omipay-async {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _program(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Omipay from the command line: WeChat Pay, Alipay and UnionPay in Australia.

    Try it first, without a merchant account:

      omipay demo      payments, a refund and a crash, shown as a timeline
      omipay sandbox   a gateway of your own; it prints what to export

    It is configured by the environment:

      OMIPAY_M_NUMBER    the merchant's number, with its leading zeros
      OMIPAY_SECRET_KEY  the API key; asked for at a terminal if it is not set
      OMIPAY_REGION      AU (default) or CN
      OMIPAY_BASE_URL    another address, up to and including /omipay/api
      OMIPAY_LANGUAGE    EN or CHS: the language of this command, too
      OMIPAY_NOTIFY_URL  where the gateway sends notifications of payments
      OMIPAY_BOOKS_URL   where your program keeps its books, for "omipay books"

    Exit codes (an error is one line on standard error):

      0  done
      1  refused by the gateway, failed or declined
      2  bad input or configuration
      3  nobody knows whether money moved: do not repeat it
      4  no usable answer
      130  interrupted with Ctrl-C; the message says what was sent
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


@app.command()
def demo(json: Json = False) -> Job:
    """Watch payments on a gateway in memory: no account, no network.

    A scan payment goes through USERPAYING to PAID and is partly refunded. A QR
    order is paid and fulfilled once. Then a reply is lost and the program ends;
    its books and a notification show what became of the charge.

      omipay demo
    """
    from . import demo as demonstration

    return Job(demonstration.demo, json)


@app.command()
def sandbox(
    *,
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="N", help="The port to listen on; 0 takes any free one.")
    ] = 8000,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    notify_delay: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="The time between a payment and its notification.")
    ] = 0.0,
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", help="With the same seed, numbers and random faults are the same in each run."),
    ] = None,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Let other machines in. The dashboard has no login.")
    ] = False,
    use_env_credentials: Annotated[
        bool,
        typer.Option(
            "--use-env-credentials",
            help="Use the merchant of OMIPAY_M_NUMBER and OMIPAY_SECRET_KEY instead of the test merchant.",
        ),
    ] = False,
    json: Json = False,
) -> Job:
    """Serve a gateway to develop against, and print the environment variables to set.

    It has every endpoint, pay pages for browsers, notifications, and at its root
    a dashboard on which orders are paid, declined and settled. Its merchant is
    for tests, with a key that works nowhere else. It answers only this machine.

      omipay sandbox --port 8000 --notify-delay 2
    """
    from .serve import serve

    return Job(
        lambda run: serve(
            run,
            host,
            port,
            notify_delay=notify_delay,
            seed=seed,
            allow_remote=allow_remote,
            use_env_credentials=use_env_credentials,
        ),
        json,
    )


@app.command()
def rate(
    currency: Annotated[str, typer.Argument(metavar="CURRENCY", help="Three capital letters: AUD.")],
    base_currency: Annotated[
        str, typer.Argument(metavar="BASE_CURRENCY", help="The currency in which one unit of it is priced: CNY.")
    ],
    platform: Annotated[str | None, typer.Option(help="WECHATPAY (default), ALIPAY, ...")] = None,
    json: Json = False,
) -> Job:
    """Show today's exchange rate, for reference.

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
    o_number: Annotated[str | None, typer.Option(help="The number of the store.")] = None,
    png: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the code into this file as well.")] = None,
    svg: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the code into this file as well.")] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Only make the order and draw its code.")] = False,
    timeout: Timeout = 120.0,
    json: Json = False,
) -> Job:
    """Make an order, draw its QR code, and wait until it is paid.

    The order's number is shown first, so that "omipay query" can ask about it
    later. With --json each line is an object: first the order, then what became
    of it.

      omipay qr "Flat white" 450 AUD T1-000231 WECHATPAY
      omipay qr "Flat white" 450 AUD T1-000232 ALIPAY --png code.png --no-wait
    """
    from . import orders

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
        typer.Argument(
            metavar="QRCODE", help="The customer's payment code. With - it is asked for, or read from standard input."
        ),
    ],
    pos_no: Annotated[str, typer.Argument(metavar="POS_NO", help="The number of the till.")],
    notify_url: NotifyUrl = None,
    yes: Yes = False,
    timeout: Timeout = 120.0,
    json: Json = False,
) -> Job:
    """Charge the payment code that a customer shows, and wait for the password.

    Other users of this machine can see the arguments of a command with "ps".
    Where that matters, write - in place of the code.

      omipay scan "Flat white" 450 AUD T1-000231 280000000000000001 till-1
      scanner | omipay scan "Flat white" 450 AUD T1-000231 - till-1 --yes --json

    On exit code 3 nobody knows whether the customer was charged: do not scan
    again for this sale. With --json the last line shows what became of it.
    """
    from . import orders

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
    """Ask the gateway about an order. Only this answer shows whether it is paid.

    Exit code 0 means that the gateway answered, not that the order is paid: read
    "status", or "is_paid" with --json. With --wait, 0 means that it is paid, and
    1 that it will not be paid.

      omipay query TR1812060010011263009795
      omipay query TR1812060010011263009795 --wait --timeout 600
    """
    from . import orders

    return Job(lambda run: orders.query(run, order_no, wait=wait, timeout=timeout), json)


@app.command()
def refund(
    order_no: OrderNo,
    out_refund_no: Annotated[
        str, typer.Argument(metavar="OUT_REFUND_NO", help="Your own number of the refund, a new one for each.")
    ],
    amount: Amount,
    yes: Yes = False,
    json: Json = False,
) -> Job:
    """Refund a paid order, or a part of it, in the order's currency.

    Exit code 0 means that the gateway accepted the refund. "omipay refund-status"
    shows when the money has arrived.

      omipay refund TR1812060010011263009795 R-000017 200

    On exit code 3 nobody knows whether it was accepted: ask Omipay's back office.
    """
    from . import orders

    values = {"order_no": order_no, "out_refund_no": out_refund_no, "amount": amount}
    return Job(lambda run: orders.refund(run, values, yes=yes), json, exit_codes.REFUND)


@app.command()
def refund_status(
    refund_no: Annotated[str, typer.Argument(metavar="REFUND_NO", help="The gateway's number of the refund.")],
    wait: Wait = False,
    timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", parser=seconds, help="The longest time to wait; refunds take days."),
    ] = None,
    json: Json = False,
) -> Job:
    """Ask the gateway about a refund.

    Exit code 0 means that it answered; with --wait, that the money has arrived.

      omipay refund-status RF1812060010011263009795
    """
    from . import orders

    return Job(lambda run: orders.refund_status(run, refund_no, wait=wait, timeout=timeout), json)


@app.command()
def verify(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE", help="The file with the body as it was received, or the body; without it, standard input."
        ),
    ] = None,
    confirm: Annotated[bool, typer.Option("--confirm", help="Ask the gateway: the only proof.")] = False,
    max_age: Annotated[
        float,
        typer.Option(metavar="SECONDS", parser=seconds, help="The greatest age of the signature that is accepted."),
    ] = 300.0,
    json: Json = False,
) -> Job:
    """Explain a notification: which check it fails, and what the gateway answers.

    A valid signature does not prove a payment: it does not cover the body.
    Without --confirm, exit code 0 means that every check passed. With it, 0 means
    that the order is paid as the body says, however old the body is.

      omipay verify notification.json
      omipay verify '{"return_code": "SUCCESS", "nonce_str": "...", ...}'
      pbpaste | omipay verify --confirm
    """
    from .verify import verify as explain

    return Job(lambda run: explain(run, source, confirm=confirm, max_age=max_age), json)


@app.command()
def doctor(
    notify: Annotated[
        bool,
        typer.Option("--notify", help="Post a signed test notification to OMIPAY_NOTIFY_URL, and explain the answer."),
    ] = False,
    json: Json = False,
) -> Job:
    """Check the connection to the gateway with one harmless signed query.

    It checks configuration, notify_url, DNS, TLS, this machine's clock and the
    key, and gives advice. The test notification of --notify is about an order
    that no gateway has. A program that asks the gateway first rejects it: this is
    right.

      omipay doctor
      omipay doctor --notify
    """
    from .doctor import doctor as examine

    return Job(lambda run: examine(run, notify=notify), json)


app.add_typer(books.app, name="books")
