"""The way between the processes and the gateway: requests and replies that are lost, late, changed or swapped.

A request that has left goes on by itself: that its sender was cancelled or killed stops nothing.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import httpx

from .chaos import Accident
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
    """What a session of a simulated process sends its requests through."""

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self._process = process

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The reply, or what became of it."""
        await self._process.step("sending a request")
        endpoint = request.url.path.rpartition("/")[2]
        accident = self._world.chaos.accident()
        self._world.trace(self._process.name, f"{endpoint} {_numbers(request)}: {accident.value}")
        if accident is Accident.REFUSED:
            message = "connection refused"
            raise httpx.ConnectError(message)
        arrived: asyncio.Future[_Raw] = asyncio.get_running_loop().create_future()
        spawn(None, self._world.network.carry(request, endpoint, accident, arrived))
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
        """The queries that went by: what a customer's browser or a thief may have seen."""

    async def carry(
        self, request: httpx.Request, endpoint: str, accident: Accident, arrived: asyncio.Future[Any]
    ) -> None:
        """One request and its reply, whoever still waits for it."""
        try:
            got = await self._exchange(request, endpoint, accident)
        except httpx.TransportError as error:
            if not arrived.done():
                arrived.set_exception(error)
        else:
            if not arrived.done() and got is not None:
                arrived.set_result(got)

    async def _exchange(self, request: httpx.Request, endpoint: str, accident: Accident) -> _Raw | None:
        await asyncio.sleep(self._chaos.latency())
        if accident is Accident.SLOW_REQUEST:
            await asyncio.sleep(self._chaos.late())
        if accident is Accident.LOST_REQUEST:
            message = "the connection was reset"
            raise httpx.ReadError(message)
        self.seen.append(request.url.params)
        if accident in {Accident.BAD_GATEWAY, Accident.SYSTEM_ERROR}:
            status, headers, body = 200, httpx.Headers({"content-type": "application/json"}), b"{}"
        else:
            status, headers, body = await self._asked(request)
        await asyncio.sleep(self._chaos.latency())
        return await self._returned(endpoint, accident, (status, headers, body))

    async def _asked(self, request: httpx.Request) -> _Raw:
        response = await self._world.gateway.handle_async_request(request)
        body = await response.aread()
        endpoint = request.url.path.rpartition("/")[2]
        if endpoint == "QueryOrder" and b'"FAIL"' not in body:  # this gateway says which order it speaks of
            body = json.dumps({**json.loads(body), "order_no": request.url.params["order_no"]}).encode()
        return response.status_code, response.headers, body

    async def _returned(self, endpoint: str, accident: Accident, reply: _Raw) -> _Raw | None:
        status, headers, body = reply
        match accident:
            case Accident.LOST_REPLY:
                message = "the connection was reset"
                raise httpx.ReadError(message)
            case Accident.NO_END:
                return None
            case Accident.SLOW_REPLY:
                await asyncio.sleep(self._chaos.late())
            case Accident.SWAPPED if self._says_whose_it_is(endpoint, body):
                return await self._swapped(endpoint, reply)
            case _:
                status, body = _changed(accident, status, body)
        return status, headers, body

    def _says_whose_it_is(self, endpoint: str, body: bytes) -> bool:
        """At once, or through a later question. That other replies were swapped no client could notice."""
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
    """A reply that waits for another one to change places with."""

    def __init__(self, mine: _Raw) -> None:
        super().__init__()
        self.mine = mine


def _changed(accident: Accident, status: int, body: bytes) -> tuple[int, bytes]:
    """The reply as the accident leaves it."""
    match accident:
        case Accident.BAD_GATEWAY | Accident.BAD_GATEWAY_ACTED:
            return 502, b"<html>502 Bad Gateway</html>"
        case Accident.SYSTEM_ERROR | Accident.SYSTEM_ERROR_ACTED:
            return 200, b'{"return_code": "FAIL", "error_code": "SYSTEM_ERROR", "error_msg": ""}'
        case Accident.GARBAGE:
            return status, body[: len(body) // 2]
        case Accident.TWO_MINDS:
            other = b'"SUCCESS"}' if b'"FAIL"' in body else b'"FAIL", "error_code": "NOT_ENOUGH"}'
            return status, body.rstrip()[:-1] + b', "return_code": ' + other
        case Accident.CONTRADICTION:
            said = b"true" if b'"FAIL"' in body else b"false"
            return status, b'{"success": ' + said + b", " + body.lstrip()[1:]
        case _:
            return status, body


def _numbers(request: httpx.Request) -> str:
    params = request.url.params
    return params.get("out_refund_no") or params.get("out_order_no") or params.get("order_no") or ""
