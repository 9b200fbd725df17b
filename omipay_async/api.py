"""The endpoints as methods of the session (CN 3, EN 2), with the documentation for users. ``gateway`` does the work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .codes import Platform
from .protocol import endpoints
from .text import hidden

if TYPE_CHECKING:
    from .calls.gateway import Gateway
    from .codes import Currency, OnlineType
    from .models import (
        ExchangeRate,
        Order,
        Refund,
        RefundReceipt,
        ScanOrder,
        WeChatUser,
    )
    from .new_orders import AppletOrder, AppOrder, JSAPIOrder, OnlineOrder, QROrder


class EndpointMethods:
    """The requests that the gateway offers. They need a ``Gateway``.

    ``AsyncOmipay`` documents what they have in common.
    """

    _gateway: Gateway

    async def get_exchange_rate(
        self,
        currency: Currency | str,
        base_currency: Currency | str,
        *,
        platform: Platform | str | None = None,
        timeout: float | None = None,
    ) -> ExchangeRate:
        """Ask what 1 ``currency`` is in ``base_currency`` (ISO 4217) today, on ``platform`` (default WECHATPAY).

        For reference only: orders are converted by the platform. CN 3.1, EN 2.1.

        Raises:
            ParameterError: CURRENCY_ERROR, a misspelt currency or a pair without a rate.
        """
        values = {"currency": currency, "base_currency": base_currency, "platform": platform}
        return await self._gateway.call(endpoints.GET_EXCHANGE_RATE, values, timeout=timeout)

    async def make_qr_order(
        self,
        *,
        order_name: str,
        amount: int,
        currency: Currency | str,
        out_order_no: str,
        platform: Platform | str,
        notify_url: str | None = None,
        o_number: str | None = None,
        timeout: float | None = None,
    ) -> QROrder:
        """Make an order that the customer pays by scanning a QR code of ``qrcode``. CN 3.2, EN 2.2.

        ``order_name`` is what is sold. ``amount`` is in the currency's minor unit: 450 is A$4.50. ``out_order_no`` is
        your own number: store it before the call, and use a new one for each order. ``platform`` is WECHATPAY, ALIPAY
        or UPI, and ``o_number`` the number of a store. ``notify_url`` defaults to the session's; without one no
        notification is sent. Next: show the code (or send the browser to ``pay_page_url(order)``), then
        ``poll_until_paid(order)`` or wait for the notification.

        Raises:
            OutcomeUnknown: nobody has this order's code, so nobody can pay it: make a new order under a new number.
            MerchantSetupError: WEBSTORE_NOT_EXISTS.
            ParameterError: AMOUNT_INVALID, above the platform's largest payment or below its smallest.
        """
        values = {
            "order_name": order_name,
            "amount": amount,
            "currency": currency,
            "out_order_no": out_order_no,
            "platform": platform,
            "notify_url": notify_url,
            "o_number": o_number,
        }
        return await self._gateway.call(endpoints.MAKE_QR_ORDER, values, timeout=timeout)

    async def make_jsapi_order(
        self,
        *,
        order_name: str,
        amount: int,
        currency: Currency | str,
        out_order_no: str,
        redirect_url: str,
        notify_url: str | None = None,
        direct_pay: bool = False,
        show_pc_pay_url: bool = False,
        o_number: str | None = None,
        pos_no: str | None = None,
        timeout: float | None = None,
    ) -> JSAPIOrder:
        """Make an order whose ``pay_url`` WeChat and Alipay can both open. CN 3.3, EN 2.3.

        ``order_name``, ``amount``, ``out_order_no``, ``o_number`` and ``notify_url`` are as for ``make_qr_order``;
        ``pos_no`` is the number of a till. After payment the browser goes to ``redirect_url``; arriving there proves
        nothing. ``direct_pay`` asks for direct payment (presumably without the gateway's own page: the documents say no
        more), ``show_pc_pay_url`` for ``pc_pay_url`` too. Next: redirect the browser to ``pay_url`` as it is, or show
        it as a QR code; then ``poll_until_paid(order)`` or wait for the notification.

        Raises:
            OutcomeUnknown: nobody has this order's page, so nobody can pay it: make a new order under a new number.
            MerchantSetupError: WECHAT_STORE_NOT_EXISTS.
            ParameterError: AMOUNT_INVALID.
        """
        values = {
            "order_name": order_name,
            "amount": amount,
            "currency": currency,
            "out_order_no": out_order_no,
            "redirect_url": redirect_url,
            "notify_url": notify_url,
            "direct_pay": direct_pay,
            "show_pc_pay_url": show_pc_pay_url,
            "o_number": o_number,
            "pos_no": pos_no,
        }
        return await self._gateway.call(endpoints.MAKE_JSAPI_ORDER, values, timeout=timeout)

    async def make_scan_order(
        self,
        *,
        order_name: str,
        amount: int,
        currency: Currency | str,
        out_order_no: str,
        qrcode: str,
        pos_no: str,
        notify_url: str | None = None,
        timeout: float | None = None,
    ) -> ScanOrder:
        """Charge the payment code that the customer shows. CN 3.4, EN 2.4.

        ``order_name`` is what is sold. ``amount`` is in the currency's minor unit: 450 is A$4.50. ``qrcode`` is that
        code as the till's scanner read it, ``pos_no`` the till's number, which must be registered with Omipay. Store
        ``out_order_no`` before the call, and let it be a new one for each attempt. The order comes back PAID, or PAYING
        while the customer types a password (USERPAYING): then ``poll_until_paid(order)``.

        Raises:
            PaymentDeclined: NOT_ENOUGH, CARD_NOT_SUPPORT, QRCODE_EXPIRED, QRCODE_ERROR: ask for another code.
            OrderStateError: ORDER_PAID, ORDER_CLOSED: an order with this number exists already (``outcome`` UNKNOWN).
            MerchantSetupError: POS_NOT_REGISTERED.
            ParameterError: AMOUNT_INVALID.
            OutcomeUnknown: never scan again for this sale. ``wait_for_notification(out_order_no)``, or Omipay's
                merchant portal, shows whether it was paid.
        """
        qrcode = hidden(qrcode)  # a traceback could show this frame
        values = {
            "order_name": order_name,
            "amount": amount,
            "currency": currency,
            "out_order_no": out_order_no,
            "qrcode": qrcode,
            "pos_no": pos_no,
            "notify_url": notify_url,
        }
        return await self._gateway.call(endpoints.MAKE_SCAN_ORDER, values, timeout=timeout)

    async def make_online_order(
        self,
        *,
        order_name: str,
        amount: int,
        currency: Currency | str,
        out_order_no: str,
        type: OnlineType | str,  # noqa: A002 - the documents' own name
        platform: Platform | str | None = None,
        return_url: str | None = None,
        notify_url: str | None = None,
        o_number: str | None = None,
        timeout: float | None = None,
    ) -> OnlineOrder:
        """Make an order for a web site, paid by Alipay or POLi: redirect the browser to ``pay_url``. CN 3.5.

        ``order_name``, ``amount``, ``out_order_no``, ``o_number`` and ``notify_url`` are as for ``make_qr_order``.
        ``type`` is ``web`` for PC browsers, ``wap`` for mobile ones; ``platform`` ALIPAYONLINE (default) or POLI, whose
        amounts are at least 2 minor units. ``return_url`` is where the browser goes after payment; arriving there
        proves nothing. Next: ``poll_until_paid(order)`` or wait for the notification.

        Raises:
            OutcomeUnknown: nobody has this order's page, so nobody can pay it: make a new order under a new number.
        """
        values = {
            "order_name": order_name,
            "amount": amount,
            "currency": currency,
            "out_order_no": out_order_no,
            "type": type,
            "platform": platform,
            "return_url": return_url,
            "notify_url": notify_url,
            "o_number": o_number,
        }
        return await self._gateway.call(endpoints.MAKE_ONLINE_ORDER, values, timeout=timeout)

    async def make_app_order(
        self,
        *,
        order_name: str,
        amount: int,
        currency: Currency | str,
        out_order_no: str,
        platform: Platform | str,
        app_id: str | None = None,
        notify_url: str | None = None,
        o_number: str | None = None,
        timeout: float | None = None,
    ) -> AppOrder:
        """Make an order that is paid inside an Android or iOS app, by ``order_string``. CN 3.6.

        Hand it to the SDK of Alipay or WeChat, which opens the customer's app; POLi pays on a web page.

        ``order_name``, ``amount``, ``out_order_no``, ``o_number`` and ``notify_url`` are as for ``make_qr_order``.
        ``platform`` is ALIPAYONLINE, WECHATPAY (``app_id`` is required then) or POLI (at least 2 minor units). Next:
        ``poll_until_paid(order)`` or wait for the notification; what the app reports proves nothing.

        Raises:
            OutcomeUnknown: nobody has this order's string, so nobody can pay it: make a new order under a new number.
        """
        values = {
            "order_name": order_name,
            "amount": amount,
            "currency": currency,
            "out_order_no": out_order_no,
            "platform": platform,
            "app_id": app_id,
            "notify_url": notify_url,
            "o_number": o_number,
        }
        return await self._gateway.call(endpoints.MAKE_APP_ORDER, values, timeout=timeout)

    async def make_applet_order(
        self,
        *,
        order_name: str,
        amount: int,
        currency: Currency | str,
        out_order_no: str,
        app_id: str,
        customer_id: str,
        platform: Platform | str = Platform.WECHATPAY,
        notify_url: str | None = None,
        o_number: str | None = None,
        timeout: float | None = None,
    ) -> AppletOrder:
        """Make an order that is paid inside a WeChat mini program. CN 3.7.

        ``order_name``, ``amount``, ``out_order_no``, ``o_number`` and ``notify_url`` are as for ``make_qr_order``.
        ``app_id`` is the mini program's, ``customer_id`` the customer's openid there; ``platform`` can only be
        WECHATPAY. The documents show this endpoint on the node CN only (``region=Region.CN``). Next: hand
        ``order.request_payment`` to ``wx.requestPayment``, then ``poll_until_paid(order)`` or wait for the
        notification; what the mini program reports proves nothing.

        Raises:
            OutcomeUnknown: nobody can pay this order without its reply: make a new order under a new number.
        """
        customer_id = hidden(customer_id)  # a traceback could show this frame
        values = {
            "order_name": order_name,
            "amount": amount,
            "currency": currency,
            "out_order_no": out_order_no,
            "platform": platform,
            "app_id": app_id,
            "customer_id": customer_id,
            "notify_url": notify_url,
            "o_number": o_number,
        }
        return await self._gateway.call(endpoints.MAKE_APPLET_ORDER, values, timeout=timeout)

    async def query_order(self, order_no: str, *, timeout: float | None = None) -> Order:
        """Ask for the gateway's record of an order: the only proof of whether and how much was paid. CN 3.8, EN 2.5.

        ``order_no`` is Omipay's number. The gateway cannot look an order up by your own ``out_order_no``.

        Raises:
            LookupFailed: PERMISSION_ERROR, the order is another merchant's or unknown.
        """
        return await self._gateway.call(endpoints.QUERY_ORDER, {"order_no": order_no}, timeout=timeout)

    async def refund(
        self, *, order_no: str, out_refund_no: str, amount: int, timeout: float | None = None
    ) -> RefundReceipt:
        """Refund ``amount`` of a paid order: all of it, or a part. CN 3.10, EN 2.7.

        ``order_no`` is Omipay's number. ``amount`` is in the minor unit of the order's currency: 450 is A$4.50. At the
        order's rate it must come to at least A$0.01. ``out_refund_no`` is your own number of the refund, a new one for
        each; no document says that the gateway refuses one that was used before, so see yourself that nobody clicks
        twice. Success means accepted: the refund may still fail. Next: ``poll_until_refunded(receipt, timeout=...)``
        or, days later, ``query_refund(receipt.refund_no)``.

        Raises:
            OrderStateError: ORDER_NOT_PAID, AMOUNT_OVER_LIMIT (more than is left of the order).
            LookupFailed: ORDER_NO_ERROR, PERMISSION_ERROR.
            OutcomeUnknown: do not repeat it by program. A person may repeat a full refund after some minutes (the
                answer is AMOUNT_OVER_LIMIT if the first was accepted). Look a partial one up in the back office.
        """
        values = {"order_no": order_no, "out_refund_no": out_refund_no, "amount": amount}
        return await self._gateway.call(endpoints.REFUND, values, timeout=timeout)

    async def query_refund(self, refund_no: str, *, timeout: float | None = None) -> Refund:
        """Ask for the gateway's record of a refund. CN 3.11, EN 2.8.

        ``refund_no`` is Omipay's number, from the receipt. The gateway cannot look a refund up by your own
        ``out_refund_no``.

        Raises:
            LookupFailed: REFUND_NO_ERROR, PERMISSION_ERROR.
        """
        return await self._gateway.call(endpoints.QUERY_REFUND, {"refund_no": refund_no}, timeout=timeout)

    async def get_user_info(self, redirect_uri: str, *, timeout: float | None = None) -> WeChatUser:
        """Ask who logged in with WeChat, for a gateway that answers this call with JSON. EN 2.9.

        The document describes both a JSON reply and a redirect of the customer's browser; for the redirect see
        ``wechat_login_url`` and ``parse_wechat_login``. ``redirect_uri`` must lie under the URL of the merchant's
        WESTORE. The document shows this endpoint on the node AU only.
        """
        return await self._gateway.call(endpoints.GET_USER_INFO, {"redirect_uri": redirect_uri}, timeout=timeout)
