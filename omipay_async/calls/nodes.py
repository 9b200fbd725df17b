"""In which order the nodes of the gateway are tried."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from omipay_async.clock import Clock
    from omipay_async.transport.attempt import Node

_NODE_REST_S: Final = 30.0
"""A node that could not be reached is tried last for this long, then first again."""


class Nodes:
    """The nodes of a session. One that could not be reached rests for a while: it is tried after the other."""

    def __init__(self, nodes: list[Node], clock: Clock) -> None:
        self._nodes = nodes
        self._clock = clock
        self._rest_until = dict.fromkeys(nodes, float("-inf"))

    @property
    def primary(self) -> Node:
        """The node that is tried first while it can be reached."""
        return self._nodes[0]

    def in_order(self) -> list[Node]:
        """The nodes in the order to try them: first those that are not resting."""
        if len(self._nodes) == 1:
            return self._nodes
        now = self._clock.monotonic()
        return sorted(self._nodes, key=lambda node: self._rest_until[node] > now)

    def failed(self, node: Node) -> None:
        """Let ``node`` rest, since it could not be reached."""
        self._rest_until[node] = self._clock.monotonic() + _NODE_REST_S
