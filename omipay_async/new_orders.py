"""The models of new orders, with what the customer needs in order to pay them.

The reply to a scan order is in ``models``, since that order has a status: it is paid, or is being paid.
"""

from __future__ import annotations

from typing import Any

import attrs

from .codes import Currency
from .models import raw_field, reads_old_pickles, sent_field
from .qr import Drawable


@reads_old_pickles
@attrs.frozen
class QROrder(Drawable):
    """A QR order (CN 3.2, EN 2.2). Show a QR code of ``qrcode``, or send the browser to ``pay_page_url(order)``.

    Store ``order_no``: ``query_order``, ``refund`` and a poll after a restart need it.
    """

    order_no: str
    qrcode: str | None = attrs.field(default=None, repr=False)
    """The text for the QR code that the customer scans."""
    pay_url: str | None = None
    """The gateway's page with that QR code; it needs ``AsyncOmipay.pay_page_url``."""
    out_order_no: str | None = sent_field()
    """As the call sent it, like ``currency`` and ``amount``."""
    currency: Currency | str | None = sent_field()
    amount: int | None = sent_field()
    """In minor units of ``currency``."""
    raw: dict[str, Any] = raw_field()


@reads_old_pickles
@attrs.frozen
class JSAPIOrder(Drawable):
    """A JSAPI order (CN 3.3, EN 2.3). Redirect the browser to ``pay_url`` as it is, or show it as a QR code."""

    order_no: str
    pay_url: str | None = None
    pc_pay_url: str | None = None
    """The page for PC browsers, with ``show_pc_pay_url=True``; it needs ``AsyncOmipay.pay_page_url``."""
    out_order_no: str | None = sent_field()
    """As the call sent it, like ``currency`` and ``amount``."""
    currency: Currency | str | None = sent_field()
    amount: int | None = sent_field()
    """In minor units of ``currency``."""
    raw: dict[str, Any] = raw_field()


@reads_old_pickles
@attrs.frozen
class OnlineOrder(Drawable):
    """An online order (CN 3.5). Redirect the customer's browser to ``pay_url`` as it is."""

    order_no: str
    pay_url: str | None = None
    out_order_no: str | None = sent_field()
    """As the call sent it, like ``currency`` and ``amount``."""
    currency: Currency | str | None = sent_field()
    amount: int | None = sent_field()
    """In minor units of ``currency``."""
    raw: dict[str, Any] = raw_field()


@reads_old_pickles
@attrs.frozen
class AppOrder:
    """An in-app order (CN 3.6). ``order_string`` goes to the platform's own SDK: a string, or JSON as text."""

    order_no: str
    order_string: str | None = attrs.field(default=None, repr=False)
    out_order_no: str | None = sent_field()
    """As the call sent it, like ``currency`` and ``amount``."""
    currency: Currency | str | None = sent_field()
    amount: int | None = sent_field()
    """In minor units of ``currency``."""
    raw: dict[str, Any] = raw_field()


@reads_old_pickles
@attrs.frozen
class AppletOrder:
    """A mini-program order (CN 3.7)."""

    order_no: str
    time_stamp: str | None = None
    nonce_str: str | None = attrs.field(default=None, repr=False)
    package: str | None = None
    sign_type: str | None = None
    pay_sign: str | None = attrs.field(default=None, repr=False)
    out_order_no: str | None = sent_field()
    """As the call sent it, like ``currency`` and ``amount``."""
    currency: Currency | str | None = sent_field()
    amount: int | None = sent_field()
    """In minor units of ``currency``."""
    raw: dict[str, Any] = raw_field()

    @property
    def request_payment(self) -> dict[str, str | None]:
        """The arguments of ``wx.requestPayment``, with the names that it expects."""
        return {
            "timeStamp": self.time_stamp,
            "nonceStr": self.nonce_str,
            "package": self.package,
            "signType": self.sign_type,
            "paySign": self.pay_sign,
        }
