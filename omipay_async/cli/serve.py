"""``omipay sandbox``: the gateway to develop against, on a socket until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import shlex
from typing import TYPE_CHECKING, Any

from omipay_async.config import is_loopback
from omipay_async.errors import ConfigurationError, InvalidRequest
from omipay_async.sandbox import TOY_M_NUMBER, TOY_SECRET_KEY, PaymentCode, Sandbox

if TYPE_CHECKING:
    from .runner import Run


def serve(run: Run, host: str, port: int, *, allow_remote: bool, **options: Any) -> None:
    """Serve a sandbox with ``options``, and print what leads a program to it.

    Raises:
        InvalidRequest: for an address that other machines can reach, unless they are to be let in.
        ConfigurationError: for an address that cannot be listened on.
    """
    if not allow_remote and not is_loopback(f"http://[{host}]" if ":" in host else f"http://{host}"):
        message = f"--host {host} lets other machines in, who need no password here: give --allow-remote if you mean it"
        raise InvalidRequest(message, parameter="host")
    m_number = os.environ.get("OMIPAY_M_NUMBER", "").strip() or TOY_M_NUMBER
    own_key = os.environ.get("OMIPAY_SECRET_KEY", "").strip()

    async def until_interrupted() -> None:
        sandbox = Sandbox(m_number, own_key or TOY_SECRET_KEY, **options)
        async with sandbox, sandbox.serve(host, port) as base_url:
            _announce(run, base_url, m_number, None if own_key else TOY_SECRET_KEY)
            await asyncio.get_running_loop().create_future()

    try:
        asyncio.run(until_interrupted())
    except OSError as error:
        trouble = error.strerror or str(error)
    message = f"{host}, port {port} cannot be listened on: {trouble}; --port 0 takes any free one"
    raise ConfigurationError(message)


def _announce(run: Run, base_url: str, m_number: str, key: str | None) -> None:
    """``key`` is the toy key; None: that of the environment, which is not for showing."""
    dashboard = base_url.removesuffix("/omipay/api") + "/"
    document = {"base_url": base_url, "dashboard": dashboard, "m_number": m_number, "secret_key": key}
    shown_key = "# OMIPAY_SECRET_KEY is that of this environment" if key is None else f"export OMIPAY_SECRET_KEY={key}"
    run.show(
        document,
        f"The sandbox is at {dashboard} (open it in a browser), until Ctrl-C. No real money moves here.",
        "",
        f"export OMIPAY_BASE_URL={base_url}",
        f"export OMIPAY_M_NUMBER={shlex.quote(m_number)}",
        shown_key,
        "",
        "With these in another terminal:",
        "  omipay doctor",
        '  omipay qr "Flat white" 450 AUD T1-1 WECHATPAY      then press Pay in the browser',
        f'  omipay scan "Flat white" 450 AUD T1-2 {PaymentCode.PAID_AFTER_QUERIES} till-1',
    )
