"""What a merchant has registered with the gateway. Attributes may be changed while the sandbox runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Collection

TOY_M_NUMBER: Final = "123456"
TOY_SECRET_KEY: Final = "toy-key-of-the-sandbox"  # noqa: S105 - a key that opens nothing but the sandbox

UNREGISTERED: Final = "unregistered"
"""An ``o_number`` or ``pos_no`` that no merchant of the sandbox has ever registered."""


@attrs.define
class Merchant:
    """One merchant, and what it has registered.

    ``stores`` and ``tills`` are the known values of ``o_number`` and ``pos_no``; None: all but ``"unregistered"``.
    ``westore_url`` is the URL under which the ``redirect_uri`` of a WeChat login must lie (EN 2.9); None: anywhere.
    """

    m_number: str
    secret_key: str = attrs.field(repr=False)
    disabled: bool = False
    stores: Collection[str] | None = None
    tills: Collection[str] | None = None
    web_store: bool = True
    wechat_store: bool = True
    westore_url: str | None = None

    def has_store(self, o_number: str) -> bool:
        """Whether ``o_number`` is one of its stores."""
        return _known(o_number, self.stores)

    def has_till(self, pos_no: str) -> bool:
        """Whether ``pos_no`` is one of its tills."""
        return _known(pos_no, self.tills)

    def owns_page(self, url: str) -> bool:
        """Whether ``url`` lies under the URL of its WeChat store."""
        store = self.westore_url
        return store is None or url == store or url.startswith((f"{store.rstrip('/')}/", f"{store}?"))


def _known(number: str, registered: Collection[str] | None) -> bool:
    return number != UNREGISTERED if registered is None else number in registered
