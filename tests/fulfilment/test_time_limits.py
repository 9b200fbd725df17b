"""Time limits of notifications and fulfilment: what they may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from omipay_async import InvalidRequest
from tests.support.scripted_gateway import notification

if TYPE_CHECKING:
    from tests.support.scripted_gateway import Gateway

METHODS = ["confirm_notification", "receive_notification", "fulfil", "wait_for_notification"]


@pytest.mark.parametrize("timeout", [0, 0.0, -1, float("nan"), float("inf"), True, "5"], ids=str)
@pytest.mark.parametrize("method", METHODS)
async def test_a_time_limit_is_more_than_no_time_at_all(gateway: Gateway, method: str, timeout: Any) -> None:
    """Anything else is refused by name, before the gateway is asked: it could only ever fail."""
    body = notification(gateway.clock)
    arguments: dict[str, list[Any]] = {
        "confirm_notification": [body],
        "receive_notification": [body, mock.AsyncMock()],
        "fulfil": ["TR1", mock.AsyncMock()],
        "wait_for_notification": ["T1-000231"],
    }
    async with gateway.session() as omipay:
        with pytest.raises(InvalidRequest) as caught:
            await getattr(omipay, method)(*arguments[method], timeout=timeout)
    assert caught.value.parameter == "timeout"
    assert gateway.requests == []
