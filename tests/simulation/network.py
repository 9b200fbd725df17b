"""The network between the processes and the gateway: it loses, delays, changes and swaps requests and replies.

A request that was sent goes on, even if its sender is cancelled or killed.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import httpx

from .chaos import NetworkFault
from .process import spawn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .process import Process
    from .world import World

_SWAP_S: Final = 2.0
_Raw = tuple[int, httpx.Headers, bytes]
"""Status, headers and body."""


class _Reply(httpx.AsyncByteStream):
    """The body of a reply, which counts as open until it is closed."""

    def __init__(self, process: Process, body: bytes) -> None:
        self._process = process
        self._body = body
        self._open = True
        process.open_replies += 1

    async def __aiter__(self) -> AsyncIterator[bytes]:
        await self._process.step("reading a reply")
        yield self._body

    async def aclose(self) -> None:
        if self._open:
            self._open = False
            self._process.open_replies -= 1


class SimulatedTransport(httpx.AsyncBaseTransport):
    """The transport of a session in a simulated process."""

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self._process = process

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the reply, or raise what became of it."""
        await self._process.step("sending a request")
        endpoint = request.url.path.rpartition("/")[2]
        network_fault = self._world.chaos.network_fault()
        self._world.trace(self._process.name, f"{endpoint} {_numbers(request)}: {network_fault.value}")
        if network_fault is NetworkFault.REFUSED:
            message = "connection refused"
            raise httpx.ConnectError(message)
        arrived: asyncio.Future[_Raw] = asyncio.get_running_loop().create_future()
        spawn(None, self._world.network.carry(request, endpoint, network_fault, arrived))
        status, headers, body = await arrived
        await self._process.step("receiving a reply")
        return httpx.Response(status, headers=headers, stream=_Reply(self._process, body))


class Network:
    """Carries requests to the gateway and brings replies back."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._chaos = world.chaos
        self._waiting_to_swap: dict[str, _Swap] = {}
        self.seen: list[httpx.QueryParams] = []
        """The queries that were sent: a customer's browser or a stranger may have seen them."""

    async def carry(
        self, request: httpx.Request, endpoint: str, network_fault: NetworkFault, arrived: asyncio.Future[Any]
    ) -> None:
        """Carry one request and its reply, whether anybody still waits for it or not."""
        try:
            got = await self._exchange(request, endpoint, network_fault)
        except httpx.TransportError as error:
            if not arrived.done():
                arrived.set_exception(error)
        else:
            if not arrived.done() and got is not None:
                arrived.set_result(got)

    async def _exchange(self, request: httpx.Request, endpoint: str, network_fault: NetworkFault) -> _Raw | None:
        await asyncio.sleep(self._chaos.latency())
        if network_fault is NetworkFault.SLOW_REQUEST:
            await asyncio.sleep(self._chaos.late())
        if network_fault is NetworkFault.LOST_REQUEST:
            message = "the connection was reset"
            raise httpx.ReadError(message)
        self.seen.append(request.url.params)
        if network_fault in {NetworkFault.BAD_GATEWAY, NetworkFault.SYSTEM_ERROR}:
            status, headers, body = 200, httpx.Headers({"content-type": "application/json"}), b"{}"
        else:
            status, headers, body = await self._gateways_reply(request)
        await asyncio.sleep(self._chaos.latency())
        return await self._returned(endpoint, network_fault, (status, headers, body))

    async def _gateways_reply(self, request: httpx.Request) -> _Raw:
        response = await self._world.gateway.handle_async_request(request)
        body = await response.aread()
        endpoint = request.url.path.rpartition("/")[2]
        if endpoint == "QueryOrder" and b'"FAIL"' not in body:  # this gateway says which order it speaks of
            body = json.dumps({**json.loads(body), "order_no": request.url.params["order_no"]}).encode()
        return response.status_code, response.headers, body

    async def _returned(self, endpoint: str, network_fault: NetworkFault, reply: _Raw) -> _Raw | None:
        status, headers, body = reply
        match network_fault:
            case NetworkFault.LOST_REPLY:
                message = "the connection was reset"
                raise httpx.ReadError(message)
            case NetworkFault.NO_END:
                return None
            case NetworkFault.SLOW_REPLY:
                await asyncio.sleep(self._chaos.late())
            case NetworkFault.SWAPPED if self._says_whose_it_is(endpoint, body):
                return await self._swapped(endpoint, reply)
            case _:
                status, body = _changed(network_fault, status, body)
        return status, headers, body

    def _says_whose_it_is(self, endpoint: str, body: bytes) -> bool:
        """Whether the reply or a later question shows its sale. No client could notice a swap of other replies."""
        if endpoint == "MakeQROrder":
            return b'"FAIL"' not in body and not self._world.sandbox.oddities
        return {"MakeScanOrder": b'"out_order_no"', "QueryOrder": b'"order_no"'}.get(endpoint, b"?") in body

    async def _swapped(self, endpoint: str, reply: _Raw) -> _Raw:
        partner = self._waiting_to_swap.pop(endpoint, None)
        if partner is not None and not partner.done():
            partner.set_result(reply)
            return partner.mine
        mine = _Swap(reply)
        self._waiting_to_swap[endpoint] = mine
        await asyncio.wait((mine,), timeout=_SWAP_S)
        if mine.done():
            return mine.result()
        self._waiting_to_swap.pop(endpoint, None)
        return reply


class _Swap(asyncio.Future[_Raw]):
    """A reply that waits to be swapped with another one."""

    def __init__(self, mine: _Raw) -> None:
        super().__init__()
        self.mine = mine


def _changed(network_fault: NetworkFault, status: int, body: bytes) -> tuple[int, bytes]:
    """The reply after the fault."""
    match network_fault:
        case NetworkFault.BAD_GATEWAY | NetworkFault.BAD_GATEWAY_ACTED:
            return 502, b"<html>502 Bad Gateway</html>"
        case NetworkFault.SYSTEM_ERROR | NetworkFault.SYSTEM_ERROR_ACTED:
            return 200, b'{"return_code": "FAIL", "error_code": "SYSTEM_ERROR", "error_msg": ""}'
        case NetworkFault.GARBAGE:
            return status, body[: len(body) // 2]
        case NetworkFault.TWO_MINDS:
            other = b'"SUCCESS"}' if b'"FAIL"' in body else b'"FAIL", "error_code": "NOT_ENOUGH"}'
            return status, body.rstrip()[:-1] + b', "return_code": ' + other
        case NetworkFault.CONTRADICTION:
            said = b"true" if b'"FAIL"' in body else b"false"
            return status, b'{"success": ' + said + b", " + body.lstrip()[1:]
        case _:
            return status, body


def _numbers(request: httpx.Request) -> str:
    params = request.url.params
    return params.get("out_refund_no") or params.get("out_order_no") or params.get("order_no") or ""
