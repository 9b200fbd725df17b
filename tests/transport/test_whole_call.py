"""One call as a whole, from a method of the session to the bytes and back."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import omipay_async
from omipay_async import calls

from .client import open_session, qr

if TYPE_CHECKING:
    from types import FrameType

    from .server import Gateway

PACKAGE = str(Path(omipay_async.__file__).parent)


async def test_a_call_goes_the_way_that_is_described(gateway: Gateway) -> None:
    """A reader of the source can follow it from function to function."""
    gone: list[str] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            gone.append(frame.f_code.co_qualname)

    async with open_session(gateway) as omipay:
        sys.setprofile(note)
        try:
            await qr(omipay, "W-1")
        finally:
            sys.setprofile(None)
    described = re.findall(r"^``([\w.]+)``  ", calls.__doc__ or "", re.MULTILINE)
    assert described[0] == "EndpointMethods.make_qr_order"
    assert sorted(described, key=gone.index) == described
