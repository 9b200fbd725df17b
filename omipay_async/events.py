"""The events that a session reports to one hook, for metrics, tracing and audit. They contain no URLs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from .codes import ErrorCode, Safety
from .errors import Outcome
from .log import log_fields, logger, shown_number

if TYPE_CHECKING:
    from collections.abc import Callable


@attrs.frozen
class Event:
    """Something that the session has done.

    ``name`` is one of ``attempt`` (one try of a call that was answered or failed; none for a try during which the call
    was cancelled), ``call`` (a whole call: exactly one for each, also when it was cancelled), ``clock`` (an offset was
    learnt), ``node`` (another node is tried), ``poll`` (a poll ended), ``notification`` (one was received).
    """

    name: str
    """What happened: one of the words above."""
    endpoint: str | None = None
    """The endpoint that was called, such as ``MakeScanOrder``."""
    safety: Safety | None = None
    """Whether the call moves money."""
    attempt: int = 0
    """Which try this was, counted from 1; of a ``call``, how many there were."""
    duration_s: float = 0.0
    """Seconds that it took, waiting included."""
    waited_s: float = 0.0
    """Seconds of that spent waiting for a slot."""
    node: str | None = None
    """``AU``, ``CN`` or a host."""
    error: str | None = None
    """The name of the error's class; None on success."""
    outcome: Outcome | None = None
    """The ``outcome`` of the error; None on success."""
    error_code: ErrorCode | str | None = None
    """The gateway's code of the error; USERPAYING of a scan order that is being paid, which is not an error."""
    order_no: str | None = attrs.field(default=None, converter=shown_number)
    """The gateway's number of the order, where it is known."""
    out_order_no: str | None = attrs.field(default=None, converter=shown_number)
    """Your number of the order, where it is known; of a confirmed order as the gateway reports it."""
    out_refund_no: str | None = attrs.field(default=None, converter=shown_number)
    """Your number of the refund, where it is known."""
    offset_s: float | None = None
    """Of a ``clock``: how far the gateway's clock is ahead of this machine's, in seconds."""


class Events:
    """Calls the hook with events. What the hook raises is logged, and goes no further."""

    __slots__ = ("_hook",)

    def __init__(self, hook: Callable[[Event], None] | None) -> None:
        self._hook = hook

    @property
    def enabled(self) -> bool:
        """Whether there is a hook. If there is none, no event needs to be made."""
        return self._hook is not None

    def emit(self, event: Event) -> None:
        """Call the hook with ``event``."""
        if self._hook is None:
            return
        try:
            self._hook(event)
        except BaseException as error:
            from asyncio import CancelledError  # asyncio takes long to load; whoever calls this has loaded it

            # The hook is the user's: what it raises must not become the result of the call. It is not async, so it
            # cannot be cancelled itself; but it may ask a task or a future that was.
            if not isinstance(error, Exception | CancelledError):
                raise
            numbers = ("endpoint", "order_no", "out_order_no", "out_refund_no", "outcome")
            extra = log_fields(**{name: getattr(event, name) for name in numbers})
            logger.exception("on_event raised on an event: %s", event.name, extra=extra)
