"""For any ASGI framework: the notify_url as an app, and a session that lives as long as an app.

    app = session_app(app, AsyncOmipay.from_env, routes={"/omipay/notify": notification_app(get_omipay, fulfil)})

``app`` is the app of Starlette, FastAPI, Litestar, Quart or Django; serve the result in its place. Its endpoints find
the session in ``scope["state"]["omipay"]``. You can also mount ``notification_app`` if the framework mounts ASGI apps.

``notify`` is the notify_url, and ``sessions`` keeps the session. The adapters for FastAPI and aiohttp use ``bodies``
too, which reads a notification and answers it, and ``common``, which finds a session.
"""

from .notify import get_omipay, notification_app, omipay_getter
from .sessions import session_app

__all__ = ["get_omipay", "notification_app", "omipay_getter", "session_app"]
