"""Pay pages and WeChat login: the URLs that are made, and the fields that are read. No network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given, strategies as st

from omipay_async import (
    APIError,
    AppletOrder,
    AppOrder,
    AsyncOmipay,
    AuthenticationError,
    ErrorCode,
    GatewayError,
    InvalidReply,
    InvalidRequest,
    JSAPIOrder,
    OmipayError,
    OnlineOrder,
    QROrder,
    ScanOrder,
    SessionClosed,
    WeChatUser,
)
from omipay_async.protocol.pages import parse_wechat_login
from tests.support.canned_gateway import CONVERTER, SIGNED, Gateway, open_session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PAGE = "https://www.omipay.com.au/Omipay/pay/qrpay?paycode=xxxxxxxxx"
BACK = "https://shop.example/thanks?order=7&lang=中文"
SENT_BACK = "redirect_url=https%3A%2F%2Fshop.example%2Fthanks%3Forder%3D7%26lang%3D%E4%B8%AD%E6%96%87"
APPENDED = f"{'&'.join(SIGNED)}&{SENT_BACK}"


@pytest.fixture
async def omipay() -> AsyncIterator[AsyncOmipay]:
    """The documents' merchant, at the time of the documents' example."""
    async with open_session(Gateway({})) as session:
        yield session


# -- pay pages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "signed"),
    [
        (PAGE, f"{PAGE}&{APPENDED}"),
        ("https://pay.example/x", f"https://pay.example/x?{APPENDED}"),
        ("https://pay.example/x?", f"https://pay.example/x?{APPENDED}"),
        ("https://pay.example/x?a=1&", f"https://pay.example/x?a=1&{APPENDED}"),
        ("https://pay.example/x#top", f"https://pay.example/x?{APPENDED}#top"),
        ("https://pay.example/x?a=1#?b", f"https://pay.example/x?a=1&{APPENDED}#?b"),
    ],
)
def test_a_page_is_signed_by_question_mark_or_ampersand(omipay: AsyncOmipay, page: str, signed: str) -> None:
    """The five parameters of CN 3.2 are appended to whatever the URL contains already."""
    assert omipay.pay_page_url(page, redirect_url=BACK) == signed


def test_the_page_of_a_qr_order_is_its_pay_url(omipay: AsyncOmipay) -> None:
    """CN 3.2."""
    assert omipay.pay_page_url(QROrder("TR1", "qr", PAGE), redirect_url=BACK) == f"{PAGE}&{APPENDED}"


def test_the_page_of_a_jsapi_order_is_the_one_for_pcs(omipay: AsyncOmipay) -> None:
    """CN 3.3: ``pay_url`` is used as it comes, ``pc_pay_url`` is signed."""
    order = JSAPIOrder("TR1", "https://pay.example/unsigned", PAGE)
    assert omipay.pay_page_url(order, redirect_url=BACK) == f"{PAGE}&{APPENDED}"


@pytest.mark.parametrize(
    ("order", "why"),
    [
        (QROrder("TR1", "qr", None), "has no pay_url: .*TR1"),
        (JSAPIOrder("TR1", "https://pay.example/1"), "show_pc_pay_url=True .*TR1"),
        (OnlineOrder("TR1", "https://pay.example/1"), "no other order"),
        (ScanOrder("TR1", None, "PAID"), "no other order"),
        (AppOrder("TR1", "x"), "no other order"),
        (AppletOrder("TR1"), "no other order"),
        (None, "no other order"),
        (b"https://pay.example", "no other order"),
        ("", "must not be empty"),
        ("/Omipay/pay/qrpay", "must be an absolute"),
        (QROrder("TR1", "qr", "javascript:alert(1)"), "must be an absolute"),
    ],
)
def test_an_order_without_such_a_page_is_refused_with_the_reason(omipay: AsyncOmipay, order: Any, why: str) -> None:
    """InvalidRequest describes what to do."""
    with pytest.raises(InvalidRequest, match=why) as refusal:
        omipay.pay_page_url(order, redirect_url=BACK)
    assert refusal.value.parameter == "order_or_url"


@pytest.mark.parametrize(
    "page", ["http://pay.example/x", "http://www.omipay.com.cn/x", "http://www.omipay.com.au.evil.example/"]
)
def test_a_page_that_is_not_https_is_signed_on_the_nodes_own_host_only(omipay: AsyncOmipay, page: str) -> None:
    """Elsewhere, others could read the signature."""
    with pytest.raises(InvalidRequest, match="must be https") as refusal:
        omipay.pay_page_url(page, redirect_url=BACK)
    assert refusal.value.parameter == "order_or_url"
    own = "http://www.omipay.com.au:8080/x"
    assert omipay.pay_page_url(own, redirect_url=BACK) == f"{own}?{APPENDED}"


def test_the_text_of_a_stranger_is_escaped(omipay: AsyncOmipay) -> None:
    """The URL of a login cannot write control characters into the log."""
    came = "?error_code=x%0aERROR%20forged&error_msg=%1b[31mred%E2%80%AE&return_code=FAIL"
    with pytest.raises(APIError, match=r"^GetUserInfo: x\\nERROR forged \(\\u001b\[31mred\\u202e\)$"):
        omipay.parse_wechat_login(came)


@pytest.mark.parametrize("target", ["shop.example", "", None, "ftp://shop.example"])
def test_a_page_leads_back_to_an_absolute_url(omipay: AsyncOmipay, target: Any) -> None:
    """``redirect_url`` is required on the page."""
    with pytest.raises(InvalidRequest) as refusal:
        omipay.pay_page_url(PAGE, redirect_url=target)
    assert refusal.value.parameter == "redirect_url"


async def test_every_page_has_a_fresh_signature() -> None:
    """Each URL has its own nonce."""
    async with open_session(Gateway({}), nonces=None) as omipay:
        pages = {omipay.pay_page_url(PAGE, redirect_url=BACK) for _ in range(10)}
    assert len({dict(parse_qsl(urlsplit(page).query))["nonce_str"] for page in pages}) == 10


# -- WeChat login -----------------------------------------------------------------------------------------------------


def test_the_login_url_is_signed_and_has_no_language() -> None:
    """EN 2.9, with the path of its address line; it needs neither a network nor a loop."""
    omipay = open_session(Gateway({}), language="EN")
    url = omipay.wechat_login_url("https://shop.example/in")
    address, _, query = url.partition("?")
    assert address == "https://www.omipay.com.au/omipay/api/auth/GetUserInfo"
    assert sorted(query.split("&")) == sorted(["redirect_uri=https%3A%2F%2Fshop.example%2Fin", *SIGNED])
    with pytest.raises(InvalidRequest, match="redirect_uri"):
        omipay.wechat_login_url("shop.example/in")
    omipay._life.closed = True  # never opened: nothing to close


FIELDS = "openid=o98c8sq9xz0&nickname=%E5%B0%8F%E6%98%8E+Ming&headimgurl=https%3A%2F%2Fimg.example%2F1"
USER = WeChatUser("o98c8sq9xz0", "小明 Ming", "https://img.example/1")


@pytest.mark.parametrize(
    "came",
    [f"https://shop.example/in{mark}{FIELDS}" for mark in ("?", "??")]
    + [f"/in?{FIELDS}", f"?{FIELDS}", FIELDS, f"{FIELDS}#top"],
)
def test_who_logged_in_is_read_from_the_url_or_its_query(omipay: AsyncOmipay, came: str) -> None:
    """As web frameworks provide it."""
    user = omipay.parse_wechat_login(came)
    assert user == USER
    assert user.raw["nickname"] == "小明 Ming"
    assert "o98c8sq9xz0" not in repr(user)


def test_a_login_may_contain_only_the_openid(omipay: AsyncOmipay) -> None:
    """The other fields are None."""
    user = omipay.parse_wechat_login("openid=o9&nickname=&return_code=SUCCESS")
    assert user == WeChatUser("o9")
    assert user.raw == {"openid": "o9", "nickname": "", "return_code": "SUCCESS"}


def test_everything_behind_the_first_question_mark_is_the_query(omipay: AsyncOmipay) -> None:
    """A name may contain another question mark."""
    user = omipay.parse_wechat_login("https://shop.example/in?X=1&openid=o9&nickname=a?b")
    assert user.raw == {"X": "1", "openid": "o9", "nickname": "a?b"}


@pytest.mark.parametrize(
    "came",
    [
        "{}",
        "?{}",
        " {}\n",
        "/in?{}",
        "/in;v=1?{}",
        "https://shop.example/a=b?{}",
        "shop.example/in?{}",
        "HTTPS://X/?{}",
    ],
)
@pytest.mark.parametrize("image", ["https://img.example/1?size=64", "/1?size=64"])
def test_a_url_in_the_query_need_not_be_encoded(omipay: AsyncOmipay, came: str, image: str) -> None:
    """Its question mark does not begin the query: what comes before it counts, too."""
    user = omipay.parse_wechat_login(came.format(f"openid=o9&headimgurl={image}&nickname=Ming"))
    assert user == WeChatUser("o9", "Ming", image)


@pytest.mark.parametrize("rest", ["error_code=", "error_code=SUCCESS", "error_code=0&return_code=SUCCESS"])
def test_a_login_that_names_a_user_is_one_whatever_its_error_code_is(omipay: AsyncOmipay, rest: str) -> None:
    """Unless ``return_code`` is FAIL: a gateway may fill in a code for success, which no document has."""
    assert omipay.parse_wechat_login(f"openid=o9&{rest}").openid == "o9"


def test_a_query_of_64_kib_is_read(omipay: AsyncOmipay) -> None:
    """One more character is too long. The URL before the query does not count."""
    query = "openid=o9&x=".ljust(64 * 1024, "y")
    assert omipay.parse_wechat_login(f"https://shop.example/in?{query}").openid == "o9"
    with pytest.raises(InvalidRequest, match=r"^url_or_query must not have a query of more than 65536 characters$"):
        omipay.parse_wechat_login(f"{query}y")


@pytest.mark.parametrize(
    "came", ["", "?", "https://shop.example/in", "openid=", "nickname=x", "https://openid=x/", "https://x/&openid=x"]
)
def test_a_login_without_an_openid_is_an_invalid_reply(omipay: AsyncOmipay, came: str) -> None:
    """There is never a user without an openid."""
    with pytest.raises(InvalidReply) as failure:
        omipay.parse_wechat_login(came)
    assert str(failure.value) == "GetUserInfo: the redirect cannot be used: openid is missing"
    assert failure.value.endpoint == "GetUserInfo"
    assert failure.value.raw == {"openid=": {"openid": ""}, "nickname=x": {"nickname": "x"}}.get(came, {})


@pytest.mark.parametrize(
    ("came", "kind", "code", "said"),
    [
        ("return_code=FAIL&error_code=SIGN_ERROR&error_msg=bad", AuthenticationError, ErrorCode.SIGN_ERROR, "bad"),
        ("error_code=SYSTEM_ERROR", GatewayError, ErrorCode.SYSTEM_ERROR, None),
        ("return_code=FAIL&error_code=NEW_ONE&openid=o9", APIError, "NEW_ONE", None),
        ("return_code=FAIL", APIError, "", None),
    ],
)
def test_a_login_that_failed_raises_the_error_of_its_fields(
    omipay: AsyncOmipay, came: str, *, kind: type[APIError], code: str, said: str | None
) -> None:
    """Like a JSON reply. The error has no outcome."""
    with pytest.raises(APIError) as failure:
        omipay.parse_wechat_login(came)
    assert type(failure.value) is kind
    assert failure.value.error_code == code
    assert failure.value.endpoint == "GetUserInfo"
    assert failure.value.outcome is None
    assert (failure.value.error_msg, failure.value.raw) == (said, dict(parse_qsl(came)))
    text = f"GetUserInfo: {code or 'FAIL without an error_code'}"
    assert str(failure.value) == (text if said is None else f"{text} ({said})")


@pytest.mark.parametrize(
    ("came", "why"),
    [
        ("openid=a&openid=b", "it contains a key twice with two values"),
        ("openid=a&openid=", "it contains a key twice with two values"),
        ("openid=a&%20openid=b", "it contains a key twice with two values"),
        ("openid=a&state=1&state=2", "it contains a key twice with two values"),
        ("error_code=SIGN_ERROR&error_code=SYSTEM_ERROR", "it contains a key twice with two values"),
        ("return_code=FAIL&openid=a&return_code=SUCCESS", "it contains a key twice with two values"),
        ("openid=a&error_code=SYSTEM_ERROR", "it has the error code SYSTEM_ERROR, but not FAIL"),
        ("openid=a&error_code=+sign_error", "it has the error code SIGN_ERROR, but not FAIL"),
        ("openid=a&return_code=SUCCESS&error_code=SIGN_ERROR", "it has the error code SIGN_ERROR, but not FAIL"),
        ("return_code=SUCCESS&error_code=SIGN_ERROR", "it has the error code SIGN_ERROR, but not FAIL"),
        ("openid=a&success=false", "it has success: false, but not FAIL"),
        ("openid=a&return_code=FAIL&success=true", "it has FAIL and success: true"),
        ("error_code=SIGN_ERROR&success=true", "it has FAIL and success: true"),
        ("openid=a&return_code=MAYBE", "return_code is neither SUCCESS nor FAIL"),
    ],
)
def test_a_login_that_contradicts_itself_is_an_invalid_reply(omipay: AsyncOmipay, came: str, why: str) -> None:
    """As with such a JSON reply, nobody is logged in, and the gateway has not refused the login either."""
    with pytest.raises(InvalidReply) as failure:
        omipay.parse_wechat_login(f"https://shop.example/in?{came}")
    assert str(failure.value) == f"GetUserInfo: the redirect cannot be used: {why}"
    assert failure.value.raw is not None


@pytest.mark.parametrize(
    "came", ["openid=o9&openid=o9", "openid=o9&error_code=", "openid=o9&error_code=NEW", "openid=o9&return_code="]
)
def test_what_contradicts_nothing_is_no_reason_to_doubt_a_login(omipay: AsyncOmipay, came: str) -> None:
    """A key twice with one value, an empty field, and a code that no document has."""
    assert omipay.parse_wechat_login(came).openid == "o9"


@pytest.mark.parametrize("came", [None, 5, b"openid=x", "a" * 70_000])
def test_what_is_not_a_query_is_rejected(omipay: AsyncOmipay, came: Any) -> None:
    """Bytes, or more than any browser sends."""
    with pytest.raises(InvalidRequest) as refusal:
        omipay.parse_wechat_login(came)
    assert refusal.value.parameter == "url_or_query"
    if not isinstance(came, str):
        assert str(refusal.value) == f"url_or_query must be a string, not {type(came).__name__}"


@given(st.text() | st.text(min_size=1).map("https://shop.example/?state=1&openid={}".format))
def test_any_login_url_gives_a_user_or_one_of_our_errors(came: str) -> None:
    """A stranger can write this URL."""
    try:
        user = parse_wechat_login(came, CONVERTER)
    except OmipayError as error:
        assert str(error)  # either way out is right
    else:
        assert user.openid


async def test_what_is_rejected_of_a_page_says_nothing_about_money() -> None:
    """The order may be paid, by its QR code for example: a till that tests for NOT_DONE would charge again."""

    def broken() -> str:
        raise OSError("no more entropy")

    number: Any = 7
    async with open_session(Gateway({}), nonces=broken) as omipay:
        for rejected in (
            lambda: omipay.pay_page_url("http://elsewhere.example/x", redirect_url=BACK),
            lambda: omipay.pay_page_url(PAGE, redirect_url="thanks"),
            lambda: omipay.wechat_login_url(""),
            lambda: omipay.parse_wechat_login(number),
        ):
            with pytest.raises(InvalidRequest) as failure:
                rejected()
            assert failure.value.outcome is None
        with pytest.raises(InvalidRequest) as failure:
            omipay.pay_page_url(PAGE, redirect_url=BACK)
        assert isinstance(failure.value.__cause__, OSError)
        assert failure.value.outcome is None


async def test_a_closed_session_signs_no_page() -> None:
    """It raises SessionClosed."""
    async with open_session(Gateway({})) as omipay:
        pass
    with pytest.raises(SessionClosed):
        omipay.pay_page_url(PAGE, redirect_url=BACK)
    with pytest.raises(SessionClosed):
        omipay.wechat_login_url("https://shop.example/in")
