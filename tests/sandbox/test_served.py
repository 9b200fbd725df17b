"""The sandbox on a socket, as a transport, in a session, and as an app that a server starts and stops."""

from __future__ import annotations

import socket
import subprocess
import sys
import zoneinfo
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from omipay_async.clock import SystemClock
from omipay_async.sandbox import Fault, Sandbox, times
from omipay_async.sandbox.asgi import ConnectionDropped
from omipay_async.sandbox.server import listening, serve
from tests.support.untyped import untyped

from .raw import WANTED, RawClient

if TYPE_CHECKING:
    from omipay_async.testing import ManualClock


async def test_served_on_loopback(sandbox: Sandbox, raw: RawClient) -> None:
    """On a real port every address in a reply answers, and there is one ``Date`` header."""
    async with sandbox.serve() as url, httpx.AsyncClient() as http:
        assert url.startswith("http://127.0.0.1:")
        assert url.endswith("/omipay/api")
        fields = {**raw.signature(), **WANTED["MakeQROrder"], "out_order_no": "S-1"}
        response = await http.post(f"{url}/v2/MakeQROrder", params=fields)
        assert response.json()["qrcode"].startswith(f"{url}/pay/wallet")
        assert response.headers.get_list("date") == ["Mon, 26 Dec 2016 23:55:30 GMT"]
        assert (await http.get(response.json()["qrcode"])).status_code == 200
    with pytest.raises(httpx.ConnectError):
        await httpx.AsyncClient().get(url)


@pytest.mark.parametrize(("system", "is_shared"), [("posix", 1), ("nt", 0)])
def test_a_second_sandbox_cannot_listen_on_the_same_port(
    monkeypatch: pytest.MonkeyPatch, system: str, is_shared: int
) -> None:
    """On Windows the option that lets a port be used again at once would let two programs use it."""
    monkeypatch.setattr("os.name", system)
    with listening("127.0.0.1", 0) as listener:
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == is_shared


@pytest.mark.parametrize(("fault", "acted"), [(Fault.DROP_REQUEST, 0), (Fault.DROP_REPLY, 1)])
async def test_served_drops_connections(sandbox: Sandbox, raw: RawClient, fault: Fault, acted: int) -> None:
    """On a socket a dropped connection ends without a byte, and the next call works."""
    sandbox.faults.add(fault, times=1)
    fields = {**raw.signature(), **WANTED["MakeScanOrder"], "out_order_no": "S-1"}
    async with sandbox.serve() as url, httpx.AsyncClient() as http:
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await http.post(f"{url}/v2/MakeScanOrder", params=fields)
        assert sandbox.ledger.acted("S-1") == acted
        assert (await http.get(f"{url}/")).status_code == 200


async def test_served_on_ipv6(sandbox: Sandbox) -> None:
    """An IPv6 address is written in brackets."""
    async with sandbox.serve("::1") as url:
        assert url.startswith("http://[::1]:")


async def test_unknown_servers_break_off(sandbox: Sandbox) -> None:
    """A server that cannot drop a connection is made to break one off: the answer is never whole."""
    sandbox.faults.add(Fault.DROP_REPLY)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/omipay/api/v2/QueryOrder", "query_string": b"", "headers": []}
    with pytest.raises(ConnectionDropped):
        await sandbox({**scope, "server": ("gateway.test", 80), "scheme": "http"}, untyped(None), send)
    assert (b"content-length", b"1048576") in sent[0]["headers"]
    assert len(sent) == 1


async def test_a_server_may_start_and_stop_the_app(sandbox: Sandbox) -> None:
    """A server that starts and stops its app is answered."""
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await sandbox({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_session_is_wired_to_the_sandbox_in_memory(sandbox: Sandbox, clock: ManualClock) -> None:
    """``session()`` is a session of the client, wired in memory, on the sandbox's clock; options are its own."""
    async with sandbox.session(language="EN") as omipay:
        assert str((await omipay.get_exchange_rate("AUD", "CNY")).rate) == "5.01540000"
    assert sandbox.ledger.calls[-1].fields["language"] == "EN"
    assert sandbox.ledger.calls[-1].fields["timestamp"] == str(clock.time_ms())


async def test_session_without_a_clock() -> None:
    """Without a clock both use the machine's, and a transport in the options is used."""
    sandbox = Sandbox()
    async with sandbox.session(transport=sandbox.transport()) as omipay:
        await omipay.get_exchange_rate("AUD", "CNY")
    assert sandbox.ledger.calls[-1].error_code is None
    assert isinstance(sandbox.clock, SystemClock)


def test_importing_loads_no_client() -> None:
    """Importing the sandbox loads neither httpx nor the client: its rules are written without them."""
    code = (
        "import sys, omipay_async.sandbox; "
        "print([name for name in ('httpx', 'uvicorn', 'zoneinfo', 'omipay_async.session', "
        "'omipay_async.protocol.signing', 'omipay_async.protocol.validation', 'omipay_async.protocol.decoding', "
        "'omipay_async.transport.client') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_machine_without_time_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a time zone database is told what to install."""

    def none(name: str) -> None:
        raise zoneinfo.ZoneInfoNotFoundError(name)

    monkeypatch.setattr(zoneinfo, "ZoneInfo", none)
    times._zone.cache_clear()
    with pytest.raises(RuntimeError, match="pip install tzdata"):
        times.wire_time(0)
    with pytest.raises(RuntimeError, match="pip install tzdata"):
        Sandbox().serve()
    times._zone.cache_clear()


async def test_server_that_cannot_start() -> None:
    """A port that is in use is an error at once."""
    async with serve(Sandbox(), "127.0.0.1", 0) as url:
        port = int(url.split(":")[2].split("/")[0])
        with pytest.raises(OSError, match="in use"):
            async with serve(Sandbox(), "127.0.0.1", port):
                pass
