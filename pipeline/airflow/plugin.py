"""What Airflow loads by its entry point `airflow.plugins`, wherever this package is installed."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

from pipeline.airflow import PAGES, notes


async def _pages(scope: Any, receive: Any, send: Any) -> None:
    """The app, made when it is first asked for: only the API server needs it, every component loads this."""
    from pipeline.airflow.pages import app

    await app(scope, receive, send)


class StarPlugin(AirflowPlugin):  # type: ignore[misc, unused-ignore]
    """Notes on runs, and the pages: in Airflow's menu, and where tasks link to."""

    name = "star"
    listeners: ClassVar[list[Any]] = [notes]
    fastapi_apps: ClassVar[list[Any]] = [{"app": _pages, "url_prefix": PAGES, "name": "STaR pages"}]
    external_views: ClassVar[list[Any]] = [
        {
            "name": "STaR",
            "href": f"{PAGES}/",
            "destination": "nav",
            "category": "browse",
            "url_route": PAGES.strip("/"),
        }
    ]
