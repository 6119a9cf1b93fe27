"""What a request must bring before anything is changed, and what a browser is told of every page."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from fastapi import HTTPException, Request, Response

COOKIE = "star_form"
FIELD = "form_token"
_LONGEST_FORM = 16 << 10


def headers(*, framed: bool) -> dict[str, str]:
    """Nothing from elsewhere, no inline script or style; `framed`: the same origin may frame them."""
    ancestors = "'self'" if framed else "'none'"
    return {
        "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        f"form-action 'self'; base-uri 'none'; frame-ancestors {ancestors}",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "SAMEORIGIN" if framed else "DENY",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }


class FormTokens:
    """Tokens for forms: a hash of the browser's cookie under a key that all servers of a home share."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "ui.key"
        self._key: bytes | None = None

    def issue(self, request: Request) -> tuple[str, str]:
        """The browser's cookie, new where it has none, and the token that belongs to it."""
        cookie = request.cookies.get(COOKIE) or secrets.token_urlsafe(24)
        return cookie, self._token(cookie)

    def set_cookie(self, request: Request, response: Response, cookie: str) -> None:
        if request.cookies.get(COOKIE) != cookie:
            response.set_cookie(
                COOKIE,
                cookie,
                httponly=True,
                samesite="strict",
                secure=request.url.scheme == "https",
                path=request.scope.get("root_path") or "/",
            )

    def _token(self, cookie: str) -> str:
        if self._key is None:
            self._key = _shared_key(self._path)
        return hmac.new(self._key, cookie.encode(), hashlib.sha256).hexdigest()

    async def checked_form(self, request: Request) -> Mapping[str, str]:
        """The fields of a posted form. 403 unless a page of this server sent it, 413 where it is too long."""
        _require_same_origin(request)
        fields = dict(parse_qsl((await _body(request)).decode("utf-8", "replace"), keep_blank_values=True))
        cookie = request.cookies.get(COOKIE, "")
        if not cookie or not hmac.compare_digest(
            fields.get(FIELD, "").encode(), self._token(cookie).encode()
        ):
            raise HTTPException(
                403, "The form is out of date: go back, load the page again, then send it again."
            )
        return fields


def _require_same_origin(request: Request) -> None:
    """403 unless the browser says that the form stood on a page of the host that it is sent to."""
    origin = request.headers.get("origin", "")
    if urlsplit(origin).netloc != request.headers.get("host") or not origin.startswith(
        ("http://", "https://")
    ):
        raise HTTPException(
            403, f"The form was sent from {origin or 'nowhere'}, not from a page of this server."
        )
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise HTTPException(403, "The form was sent from another site.")


async def _body(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _LONGEST_FORM:
            raise HTTPException(413, f"The form is longer than {_LONGEST_FORM:,} bytes.")
    return body


def _shared_key(path: Path) -> bytes:
    """The key in `path`, which the first server of a home makes for all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.tmp{os.getpid()}")
    if not path.exists():
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(secrets.token_bytes(32))
        try:
            os.link(fresh, path)  # unlike a rename, fails where another server was first
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_bytes()
