"""Any ASGI framework: the notify_url as an app, and the session for the life of an app. No framework here.

    app = session_app(app, AsyncOmipay.from_env, routes={"/omipay/notify": notification_app(get_omipay, fulfil)})

``app`` is what Starlette, FastAPI, Litestar, Quart or Django gives; the result is served in its place. Its endpoints
have the session as ``scope["state"]["omipay"]``. Or mount ``notification_app`` where the framework takes an ASGI app.
"""

from .notify import get_omipay, notification_app, omipay_getter
from .sessions import session_app

__all__ = ["get_omipay", "notification_app", "omipay_getter", "session_app"]
