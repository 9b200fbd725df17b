"""Turns the arguments of a method into a call: checks them, adds the session's defaults, collects the secrets.

Every component that asks the gateway something does it here: the endpoint methods, polls, confirmations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from omipay_async.codes import Safety
from omipay_async.errors import InvalidRequest
from omipay_async.protocol import validation
from omipay_async.protocol.context import RequestContext
from omipay_async.text import Secret, joined, plain_value
from omipay_async.transport.pool import Priority

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from omipay_async.codes import Language
    from omipay_async.protocol.endpoints import Endpoint

    from .executor import CallExecutor

T = TypeVar("T")


@attrs.frozen(eq=False, repr=False)
class Gateway:
    """Makes calls with the defaults of the session."""

    executor: CallExecutor
    language: Language | None
    notify_url: str | None
    timeout: float
    """Seconds for a call that is given no time limit of its own."""

    async def call(
        self,
        endpoint: Endpoint[T],
        values: Mapping[str, Any],
        *,
        timeout: float | None = None,
        priority: Priority | None = None,
    ) -> T:
        """Call an endpoint and return the reply's model. Without a ``priority`` the endpoint's safety decides.

        Raises:
            InvalidRequest: a value or ``timeout`` was rejected; nothing was sent.
            OmipayError: as the tables in ``retries`` and ``outcomes`` describe.
        """
        values = {name: plain_value(value) for name, value in values.items()}
        if "notify_url" in values and values["notify_url"] is None:
            values["notify_url"] = self.notify_url
        request = RequestContext.of(endpoint, values, self.executor.credentials.keys)
        try:
            query = validation.query(endpoint, values)
            limit = self.limit(timeout)
        except InvalidRequest as error:
            raise self.executor.report_rejected(request, error) from None
        query = self._with_language(endpoint, query)
        priority = _priority(endpoint) if priority is None else priority
        reply: T = await self.executor.call(request, query, priority, limit)
        return reply

    def question(
        self, endpoint: Endpoint[T], parameter: str, priority: Priority
    ) -> Callable[[str, float], Coroutine[Any, Any, T]]:
        """A function that asks about a number within so many seconds, for polls and confirmations."""

        async def ask(number: str, seconds: float) -> T:
            return await self.call(endpoint, {parameter: number}, timeout=seconds, priority=priority)

        return ask

    async def call_general(
        self, endpoint: str, params: Mapping[str, Any], safety: Safety | str, *, timeout: float | None
    ) -> dict[str, Any]:
        """Call an endpoint that this library does not know, and return its reply unchanged."""
        called = validation.rejected_endpoint(safety)
        try:
            called = validation.general_endpoint(endpoint, safety)
            query, has_language = validation.general_query(params)
            limit = self.limit(timeout)
        except InvalidRequest as error:
            raise self.executor.report_rejected(RequestContext(called, general=True), error) from None
        request = RequestContext.of(called, params, self.executor.credentials.keys, general=True)
        if not has_language:
            query = self._with_language(called, query)
        reply: dict[str, Any] = await self.executor.call(request, query, _priority(called), limit)
        return reply

    def limit(self, timeout: float | None) -> float:
        """How many seconds a call may take: ``timeout`` once it is checked, or the session's if it is None."""
        return self.timeout if timeout is None else validation.seconds("timeout", timeout, above=True)

    def _with_language(self, endpoint: Endpoint[T], query: Secret) -> Secret:
        if self.language is None or not endpoint.takes_language:
            return query
        return joined(query, "&" if query else "", "language=", self.language)


def _priority(endpoint: Endpoint[Any]) -> Priority:
    return Priority.READ if endpoint.safety is Safety.READ else Priority.MONEY
