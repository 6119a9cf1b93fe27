"""What every page stands on: the store, how pages are made, and summaries that are read once per commit."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any, cast

from fastapi import Request
from fastapi.responses import HTMLResponse

from pipeline import __version__
from pipeline.errors import NotReadyError
from pipeline.paths import Home, validate_experiment
from pipeline.store import Store
from pipeline.ui import assets
from pipeline.ui.security import FIELD, FormTokens
from pipeline.ui.text import environment

Author = Callable[[Request], str]
"""Who a request is from: the person named with a flag."""

_REMEMBERED = 256


class Remembered:
    """A few results, each under a key; the one that was asked for longest ago goes first."""

    def __init__(self, most: int = _REMEMBERED) -> None:
        self._most = most
        self._values: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The value of the key, made where it is not known; two who ask at once may both make it."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()
        with self._lock:
            self._values[key] = value
            if len(self._values) > self._most:
                self._values.popitem(last=False)
        return value


class Site:
    """One home as pages show it."""

    def __init__(self, home: Home, author: Author) -> None:
        self.home = home
        self.store = Store(home)
        self.author = author
        self.tokens = FormTokens(home.root)
        self._summaries = Remembered()

    def rows(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        """The rows of a named query."""
        return self.store.rows(name, **parameters)

    def summary(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        """As `rows`, kept until the store changes: for what counts over a whole experiment."""
        key = (self.store.version(), name, *sorted(parameters.items(), key=str))
        rows: list[dict[str, Any]] = self._summaries.get(key, lambda: self.rows(name, **parameters))
        return rows

    def experiment(self, name: str) -> dict[str, Any]:
        """The recorded experiment; NotReadyError where there is none of that name."""
        rows = self.rows("experiment", experiment=validate_experiment(name))
        if not rows:
            raise NotReadyError(f"there is no experiment {name!r} in {self.store}; the overview lists all")
        return rows[0]

    def page(self, request: Request, template: str, status: int = 200, **parts: Any) -> HTMLResponse:
        """A page of the given template; forms on it carry a token that belongs to the browser's cookie."""
        cookie, token = self.tokens.issue(request)
        text = self.text(request, template, **{FIELD: token}, **parts)
        response = HTMLResponse(text, status, headers={"Cache-Control": "no-store"})
        self.tokens.set_cookie(request, response, cookie)
        return response

    def text(self, request: Request, template: str, **parts: Any) -> str:
        """The text of a page or of a part of one; every value is escaped by the template."""
        base = request.scope.get("root_path", "").rstrip("/")
        shared: Mapping[str, Any] = {
            "base": base,
            "static": f"{base}/static/{assets.version()}",
            "star": __version__,
            "home": _short(self.home.root),
        }
        return environment().get_template(f"{template}.html.j2").render({**shared, **parts})


def _short(path: Path) -> str:
    """The path as a shell shows it: `~` for the account's own folder."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except (ValueError, RuntimeError):  # elsewhere, or an account without a folder
        return str(path)


def site_of(request: Request) -> Site:
    """The site that a request is for."""
    return cast(Site, request.app.state.site)
