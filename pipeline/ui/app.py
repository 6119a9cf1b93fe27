"""The application: pages, their headers, and how an error looks. `star ui` serves it, Airflow mounts it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline import __version__
from pipeline.errors import ConfigError, LeaseHeldError, NotReadyError, StarError
from pipeline.paths import Home
from pipeline.ui import assets, attempts, flagging, pages
from pipeline.ui.security import headers
from pipeline.ui.site import Author, Site, site_of

_STATUS = ((NotReadyError, 404), (ConfigError, 400), (LeaseHeldError, 409))


def create_app(
    home: Home,
    *,
    author: Author,
    hosts: Sequence[str] | None,
    may_see: Sequence[Any] = (),
    may_flag: Sequence[Any] = (),
    framed: bool = False,
) -> FastAPI:
    """The pages of a home.

    `author` names the person behind a request, for flags. `hosts` are the names that a request may be sent to
    (a page of another site that resolves its name to this machine sends its own); None where another server
    sees to that. `may_see` and `may_flag` are FastAPI's dependencies, which refuse whoever may not. `framed`:
    pages of the same origin may show ours in a frame.
    """
    app = FastAPI(
        title="STaR",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(each) for each in may_see],
    )
    app.state.site = Site(home, author)
    app.include_router(pages.router)
    app.include_router(attempts.router)
    app.include_router(flagging.router, dependencies=[Depends(each) for each in may_flag])
    app.add_api_route("/static/{version}/{name}", asset, methods=["GET"])
    for kind in (StarError, StarletteHTTPException, RequestValidationError):
        app.add_exception_handler(kind, _error)
    app.add_middleware(_Headers, fixed=headers(framed=framed))
    if hosts is not None:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    return app


class _Headers:
    """Adds fixed headers to every response, and leaves its body alone: it may be a stream."""

    def __init__(self, app: ASGIApp, fixed: Mapping[str, str]) -> None:
        self._app, self._fixed = app, fixed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._fixed)
            await send(message)

        await self._app(scope, receive, with_headers)


def asset(version: str, name: str) -> Response:
    """A file of pages; the address has the version, so it never changes."""
    if name not in assets.TYPES:
        raise HTTPException(404, f"There is no file {name!r}.")
    kept = "max-age=31536000, immutable" if version == assets.version() else "no-store"
    return Response(assets.content(name), media_type=assets.TYPES[name], headers={"Cache-Control": kept})


def _error(request: Request, error: Exception) -> Response:
    """A page that says what is wrong, with the status that fits."""
    if isinstance(error, StarletteHTTPException):
        status, told, extra = error.status_code, str(error.detail), error.headers
    elif isinstance(error, RequestValidationError):
        status, told, extra = 422, "The address cannot be read.", None
    else:
        status = next((code for kind, code in _STATUS if isinstance(error, kind)), 503)
        told, extra = str(error), None
    title = HTTPStatus(status).phrase
    # Whoever is refused learns nothing of the machine.
    response = site_of(request).page(request, "error", status, title=title, told=told, home="")
    response.headers.update(extra or {})
    return response
