"""``omipay sandbox``: serves the sandbox on a socket until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shlex
from typing import TYPE_CHECKING, Final

from omipay_async.config import is_loopback
from omipay_async.errors import ConfigurationError, InvalidRequest
from omipay_async.language import sentence
from omipay_async.sandbox import TOY_SECRET_KEY, PaymentCode, Sandbox
from omipay_async.sandbox.asgi import API
from omipay_async.sandbox.times import check_time_zone

from .translations import localized

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .runner import Run

_ELSEWHERE: Final = sentence(
    "A program on another machine needs TLS or a tunnel (ssh -L) to the sandbox: it speaks plain http to its own "
    "machine only."
)


def serve(
    run: Run,
    host: str,
    port: int,
    *,
    notify_delay: float,
    seed: int | None,
    allow_remote: bool,
    use_env_credentials: bool,
) -> None:
    """Serve a sandbox, and print the environment variables for a program that uses it.

    It has the test merchant unless ``use_env_credentials`` is set: a sandbox should not sign with a real key.

    Raises:
        InvalidRequest: other machines can reach the address, and ``allow_remote`` is not set.
        ConfigurationError: the address cannot be listened on, the credentials of the environment are missing, or this
            machine has no time zones.
    """
    if not allow_remote and not is_loopback(f"http://[{host}]" if ":" in host else f"http://{host}"):
        message = sentence(
            "--host {} lets other machines in, and the sandbox has no password: add --allow-remote if you want this",
            host,
        )
        raise InvalidRequest(message, parameter="host")
    _check_machine()
    credentials = _of_environment() if use_env_credentials else ()
    sandbox = Sandbox(*credentials, notify_delay=notify_delay, seed=seed)

    async def until_interrupted() -> None:
        async with sandbox, sandbox.serve(host, port, allow_remote=allow_remote) as base_url:
            key = None if use_env_credentials else TOY_SECRET_KEY
            _announce(run, base_url, sandbox.merchant.m_number, key, allow_remote=allow_remote)
            await asyncio.get_running_loop().create_future()

    try:
        with _warnings_shown():
            asyncio.run(until_interrupted())
    except OSError as error:
        reason = error.strerror or str(error)
        message = sentence("{}, port {} cannot be listened on: {}; --port 0 takes any free one", host, port, reason)
        raise ConfigurationError(message) from None


def _check_machine() -> None:
    try:
        check_time_zone()
    except RuntimeError as error:
        raise ConfigurationError(str(error)) from None


def _of_environment() -> tuple[str, str]:
    values = {name: os.environ.get(name, "").strip() for name in ("OMIPAY_M_NUMBER", "OMIPAY_SECRET_KEY")}
    missing = [name for name, value in values.items() if not value]
    if missing:
        message = sentence("--use-env-credentials: {} must be set", ", ".join(missing))
        raise ConfigurationError(message)
    return values["OMIPAY_M_NUMBER"], values["OMIPAY_SECRET_KEY"]


@contextlib.contextmanager
def _warnings_shown() -> Iterator[None]:
    """Print the sandbox's warnings on standard error, since this program has no other logging."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("omipay sandbox: %(message)s"))
    logger = logging.getLogger("omipay_async.sandbox")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _announce(run: Run, base_url: str, m_number: str, key: str | None, *, allow_remote: bool) -> None:
    """Print how to use the sandbox. ``key`` is the test merchant's; None: the environment's, which is not shown."""
    dashboard = base_url.removesuffix(API) + "/"
    document = {"base_url": base_url, "dashboard": dashboard, "m_number": m_number, "secret_key": key}
    shown_key = f"export OMIPAY_SECRET_KEY={key}"
    if key is None:
        shown_key = sentence("# OMIPAY_SECRET_KEY keeps the value that it has in this environment")
    press = sentence("then press Pay in the browser")
    run.show(
        document,
        sentence(
            "The sandbox is at {} (open it in a browser) until you press Ctrl-C. No real money moves here.", dashboard
        ),
        "",
        f"export OMIPAY_BASE_URL={base_url}",
        f"export OMIPAY_M_NUMBER={shlex.quote(m_number)}",
        shown_key,
        "export OMIPAY_NOTIFY_URL=http://127.0.0.1:9000/omipay/notify",
        "",
        sentence(
            "OMIPAY_NOTIFY_URL is the address at which your program receives notifications: put its own port and path "
            "there."
        ),
        sentence("Orders without a notify_url can be paid too, but no notification is sent."),
        *([_ELSEWHERE] if allow_remote else []),
        "",
        sentence("With these in another terminal:"),
        "  omipay doctor",
        f'  omipay qr "Flat white" 450 AUD T1-1 WECHATPAY      {localized(press)}',
        f'  omipay scan "Flat white" 450 AUD T1-2 {PaymentCode.PAID_AFTER_QUERIES} till-1',
    )
