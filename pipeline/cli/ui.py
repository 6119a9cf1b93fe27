"""`star ui`: pages to look at experiments with."""

from __future__ import annotations

import typer

from pipeline.cli.commands import add
from pipeline.cli.context import home_of
from pipeline.cli.terminal import say

PANEL = "Look"
_NEEDS = ("fastapi", "uvicorn")


def register(app: typer.Typer) -> None:
    add(app, ui, PANEL, "star ui", "star ui --port 0 --author anna")


def ui(
    ctx: typer.Context,
    port: int = typer.Option(8321, min=0, max=65535, help="Port on 127.0.0.1; 0: one that is free."),
    author: str | None = typer.Option(
        None, help="Who you are, named with your flags. Default: the account's name."
    ),
) -> None:
    """Look at experiments in a browser: rounds with plots, rationales to filter and search, problems through
    the rounds, two experiments side by side. A wrong verdict can be flagged, a rationale excluded.

    Only this machine can reach the pages. Ctrl-C ends it.
    """
    _require()
    from pipeline.store.flags import checked
    from pipeline.ui.serve import person, serve

    _, name, _ = checked("exclude", author or person(), "")
    home = home_of(ctx)
    serve(home, port, name, lambda address: say(f"{address}  ({home.root}; Ctrl-C ends it)"))


def _require() -> None:
    from importlib.util import find_spec

    from pipeline.errors import ConfigError

    missing = [name for name in _NEEDS if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"star ui needs {' and '.join(missing)}, which this environment lacks; install them with: "
            "pip install 'star-pipeline[ui]', or in a checkout: make setup-demo"
        )
