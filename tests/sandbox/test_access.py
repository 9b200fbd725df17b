"""Who may use a served sandbox, how large a request may be, and how much is kept of strangers' calls."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from omipay_async.sandbox import ledger
from omipay_async.sandbox.access import MAX_BODY_BYTES
from omipay_async.sandbox.server import serve
from tests.support.untyped import untyped

if TYPE_CHECKING:
    from omipay_async.sandbox import Sandbox

    from .raw import RawClient

LOCAL = [
    {"host": "localhost"},
    {"host": "127.0.0.1:8000"},
    {"host": "127.9.9.9"},
    {"host": "[::1]:80"},
    {"host": "shop.localhost:80"},
    {"origin": "http://localhost:3000"},
    {"origin": "https://127.0.0.1"},
]
FOREIGN = [
    {"host": "rebind.example"},
    {"host": "127.0.0.1.rebind.example"},
    {"host": "192.168.0.7:8000"},
    {"host": "[fe80::1]"},
    {"host": "[::1"},
    {"host": "[::1].evil.example"},
    {"host": "evil.example@localhost"},
    {"host": "l\u00f6calhost"},
    {"host": ""},
    {"origin": "http://evil.example"},
    {"origin": "null"},
    {"origin": "file://localhost"},
]


@pytest.mark.parametrize(("headers", "status"), [*((h, 200) for h in LOCAL), *((h, 403) for h in FOREIGN)])
async def test_only_this_machine_is_answered(sandbox: Sandbox, headers: dict[str, str], status: int) -> None:
    """The dashboard cannot be reached by a name that a stranger's DNS points here, nor by a page of another site."""
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    async with sandbox.serve() as url, httpx.AsyncClient() as http:
        answer = await http.get(url, headers=encoded)
    assert answer.status_code == status
    assert ("--allow-remote" in answer.text) is (status == 403)


@pytest.mark.parametrize(
    ("fetched", "page", "call"),
    [
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 200, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors", "origin": "http://localhost:3000"}, 200, 200),
        ({"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"}, 200, 200),
        ({"sec-fetch-site": "none", "sec-fetch-mode": "navigate"}, 200, 200),
    ],
    ids=["image", "link", "shop on this machine", "other port", "address bar"],
)
async def test_a_page_of_another_site_may_open_pages_and_call_nothing(
    sandbox: Sandbox, fetched: dict[str, str], page: int, call: int
) -> None:
    """A browser sends no ``Origin`` with an image or a link, and every endpoint can be called by GET."""
    async with sandbox.serve() as url, httpx.AsyncClient(headers=fetched) as http:
        assert (await http.get(url)).status_code == page
        assert (await http.get(f"{url}/v2/MakeScanOrder")).status_code == call
    assert len(sandbox.ledger.calls) == (call == 200)


async def test_a_rebound_name_cannot_pay(sandbox: Sandbox, raw: RawClient) -> None:
    """Nothing is done for a request that is refused."""
    order_no = (await raw.ask("MakeQROrder"))["order_no"]
    async with sandbox.serve() as url, httpx.AsyncClient() as http:
        form = {"order_no": order_no, "to": "PAID"}
        assert (await http.post(url, data=form, headers={"host": "rebind.example"})).status_code == 403
    assert sandbox.ledger.paid_total() == 0


async def test_other_machines_can_be_allowed(sandbox: Sandbox) -> None:
    """They need ``allow_remote=True``."""
    async with sandbox.serve(allow_remote=True) as url, httpx.AsyncClient() as http:
        assert (await http.get(url, headers={"host": "sandbox.office.example"})).status_code == 200


async def test_a_call_with_a_large_body_is_refused(sandbox: Sandbox) -> None:
    """Bodies of calls are not read, since all parameters are in the URL, but they may not be too long either."""
    async with sandbox.serve() as url, httpx.AsyncClient() as http:
        for length, status in ((MAX_BODY_BYTES, 200), (MAX_BODY_BYTES + 1, 413)):
            answer = await http.post(f"{url}/v2/GetExchangeRate", content=b"x" * length)
            assert answer.status_code == status
    assert len(sandbox.ledger.calls) == 1


@pytest.mark.parametrize("path", ["/", "/omipay/api/pay/online?paycode={}"])
@pytest.mark.parametrize("declared", [True, False])
async def test_large_bodies_are_refused(sandbox: Sandbox, raw: RawClient, path: str, declared: bool) -> None:
    """The limit is 64 KiB. If the length is declared, nothing is read; otherwise reading stops there."""
    order_no = (await raw.ask("MakeOnlineOrder"))["order_no"]
    sent = 0

    async def chunks() -> Any:
        nonlocal sent
        while sent < 4 * MAX_BODY_BYTES:
            sent += 8192
            yield b"x" * 8192

    content = b"do=pay&x=" + b"x" * MAX_BODY_BYTES if declared else chunks()
    answer = await raw.http.post(path.format(order_no), content=content)
    assert answer.status_code == 413
    assert sandbox.ledger.paid_total() == 0


async def test_a_body_that_is_not_needed_is_not_read(sandbox: Sandbox) -> None:
    """Endpoints take their parameters from the URL, and other pages have no forms."""
    sent: list[Any] = []

    async def receive() -> Any:
        pytest.fail("the body was read")

    async def send(message: Any) -> None:
        sent.append(message)

    for path in ("/omipay/api/v2/QueryOrder", "/nothing"):
        scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": [(b"host", b"a")]}
        await sandbox({**scope, "scheme": "http", "server": ("a", 80)}, receive, send)
    assert [message["status"] for message in sent if "status" in message] == [200, 404]


async def test_only_so_many_calls_of_strangers_are_kept(
    sandbox: Sandbox, raw: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limited number of short records is kept of calls that are sent without a key."""
    monkeypatch.setattr(ledger, "KEPT_OF_STRANGERS", 50)
    await raw.ask("GetExchangeRate")
    for number in range(150):
        await raw.http.get(f"/omipay/api/v2/QueryOrder?order_no={number}{'x' * 5000}&m_number={number}")
    calls = sandbox.ledger.calls
    assert 50 < len(calls) <= 101
    assert calls[0].endpoint == "GetExchangeRate", "what a merchant asked is kept"
    assert calls[-1].fields["order_no"].startswith("149x")
    assert calls[-1].number == 151
    assert max(len(str(call)) for call in calls) < 5000


async def test_connections_send_at_once() -> None:
    """Each has TCP_NODELAY, because a reply's body would otherwise wait for the acknowledgement of its headers."""
    seen: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        connection = send.__self__.transport.get_extra_info("socket")
        seen.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async with serve(app, "127.0.0.1", 0) as url, httpx.AsyncClient() as http:
        await http.get(url)
    assert seen
    assert all(seen)


async def test_there_is_one_warning_for_each_order_without_notify_url(
    sandbox: Sandbox, raw: RawClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Text from outside is escaped in it."""
    await raw.ask("MakeQROrder", out_order_no="T-1\u202e")
    await raw.ask("MakeScanOrder", out_order_no="T-2", notify_url="http://shop.test/omipay/notify")
    for _ in range(2):
        await raw.http.get("/")
    (record,) = caplog.records
    assert "(T-1\\u202e) has no notify_url" in record.getMessage()
    assert (record.name, record.levelname) == ("omipay_async.sandbox", "WARNING")


async def test_the_session_s_notify_url_leads_to_the_app(sandbox: Sandbox) -> None:
    """A sandbox with an app makes sessions whose orders are notified to ``/omipay/notify`` of it."""
    paths: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        paths.append(scope["path"])
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    sandbox.app = app
    async with sandbox.session() as omipay:
        order = await omipay.make_qr_order(
            order_name="A", amount=1, currency="AUD", out_order_no="T-1", platform="ALIPAY"
        )
    await sandbox.customer.pays(order)
    settling = asyncio.create_task(sandbox.settle())
    while len(paths) < 3:
        await untyped(sandbox.clock).advance(5)
    await settling
    assert paths == ["/omipay/notify"] * 3


async def test_nothing_is_sent_to_an_app_that_does_not_exist(sandbox: Sandbox, raw: RawClient) -> None:
    """Without an app, notifications to its address are not sent, and its name is not looked up."""
    from omipay_async.sandbox import APP_NOTIFY_URL

    await raw.ask("MakeScanOrder", notify_url=APP_NOTIFY_URL)
    await raw.ask("MakeScanOrder", notify_url=APP_NOTIFY_URL, qrcode="280000000000000002")
    await sandbox.settle()
    assert sandbox.ledger.deliveries == []
