"""A session that is made and never used, and an environment for one."""

from __future__ import annotations

from typing import Any

from omipay_async import AsyncOmipay

KEY = "hunter2hunter2"
ENVIRONMENT = {
    "OMIPAY_M_NUMBER": "000034",
    "OMIPAY_SECRET_KEY": KEY,
    "OMIPAY_REGION": "CN",
    "OMIPAY_LANGUAGE": "EN",
    "OMIPAY_NOTIFY_URL": "https://shop.example/n",
}


def made(**options: Any) -> AsyncOmipay:
    """A session that is made and never used."""
    omipay = AsyncOmipay(**({"m_number": "000034", "secret_key": KEY} | options))
    omipay._life.closed = True  # never opened: nothing to close
    return omipay
