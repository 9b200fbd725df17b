"""Draws QR codes: as SVG, as PNG, and for a terminal. Needs the extra ``qr``. No I/O."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from .errors import ConfigurationError, InvalidRequest
from .text import printable

if TYPE_CHECKING:
    import segno

_QUIET_ZONE: Final = 4
"""How many light modules ISO 18004 requires around the code."""
_LIGHT_ON_BLACK: Final = "\x1b[38;5;231;48;5;16m"
_RESET: Final = "\x1b[0m"
_LARGEST_SCALE: Final = 100
"""The scale may come from a web request, and an image of a million pixels on each side fills the memory."""


class Drawable:
    """An order whose QR code can be drawn, with the extra ``qr``: of its ``qrcode``, else of its ``pay_url``."""

    __slots__ = ()
    order_no: str
    pay_url: str | None

    def qr_svg(self, *, scale: int = 8) -> str:
        """The QR code as an SVG document, ``scale`` units for each of its squares: for a file or within HTML.

        Raises:
            InvalidRequest: the order has neither a ``qrcode`` nor a ``pay_url``, or its text is too long for a QR code;
                or ``scale`` is not an int from 1 to 100.
            ConfigurationError: the extra ``qr`` is not installed.
        """
        _check_scale(scale)
        out = io.BytesIO()
        _code_of(self).save(out, kind="svg", scale=scale, border=_QUIET_ZONE, light="#fff", xmldecl=False, nl=False)
        return out.getvalue().decode()

    def qr_png(self, *, scale: int = 8) -> bytes:
        """The QR code as a PNG file, ``scale`` pixels for each of its squares. Raises what ``qr_svg`` raises."""
        _check_scale(scale)
        out = io.BytesIO()
        _code_of(self).save(out, kind="png", scale=scale, border=_QUIET_ZONE)
        return out.getvalue()

    def qr_terminal(self) -> str:
        """The QR code as lines of characters to print in a terminal, in black and white whatever its theme is.

        Raises what ``qr_svg`` raises.
        """
        out = io.StringIO()
        _code_of(self).terminal(out, border=_QUIET_ZONE, compact=True)
        return "\n".join(f"{_LIGHT_ON_BLACK}{line}{_RESET}" for line in out.getvalue().splitlines())


def _check_scale(scale: object) -> None:
    if isinstance(scale, bool) or not isinstance(scale, int) or not 1 <= scale <= _LARGEST_SCALE:
        message = f"scale must be an int from 1 to {_LARGEST_SCALE}"
        raise InvalidRequest(message, parameter="scale").with_outcome(None)


def _code_of(order: Drawable) -> segno.QRCode:
    text = str(getattr(order, "qrcode", None) or order.pay_url or "")
    if not text:
        number = printable(order.order_no)
        message = f"order {number} has nothing to draw: the gateway's reply had neither a qrcode nor a pay_url"
        raise InvalidRequest(message, parameter="order").with_outcome(None)  # the order may be paid in another way
    try:
        from segno import make
    except ImportError as error:
        message = f'drawing QR codes needs: pip install "omipay-async[qr]" ({error})'
        raise ConfigurationError(message) from error
    try:
        return make(text, error="m", micro=False)
    except ValueError as error:
        kind = type(error).__name__
    message = f"qrcode cannot be drawn: no QR code holds this text of {len(text)} characters ({kind})"
    raise InvalidRequest(message, parameter="qrcode").with_outcome(None)
