"""Which part of the sandbox a request is for, wherever the sandbox is mounted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from omipay_async.sandbox.asgi import API

if TYPE_CHECKING:
    from starlette.requests import Request


@attrs.frozen
class RoutedRequest:
    """A request, and where in the sandbox it goes."""

    request: Request
    path: str
    """Below ``/omipay/api``, or below the place where the sandbox is mounted."""
    base_url: str
    """The address up to and including ``/omipay/api``, as the caller knows it."""
    is_api: bool


def route(request: Request) -> RoutedRequest:
    """Where a request goes, wherever the sandbox is mounted: under a prefix, at ``/omipay/api`` itself, or nowhere."""
    scope = request.scope
    root = scope.get("root_path", "").rstrip("/")
    path = scope["path"] if scope["path"].startswith(f"{root}/") else root + scope["path"]
    origin = f"{request.url.scheme}://{request.url.netloc}"
    before, found, below = path.partition(API)
    if found and (not below or below.startswith("/")):
        return RoutedRequest(request, below, f"{origin}{before}{API}", is_api=True)
    return RoutedRequest(request, path[len(root) :], f"{origin}{root}{API}", is_api=False)
