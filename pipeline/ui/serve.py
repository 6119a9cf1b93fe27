"""Serves the pages to the browser of this machine."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Callable

import uvicorn

from pipeline.errors import ConfigError
from pipeline.paths import Home
from pipeline.ui.app import create_app

LOCALHOST = "127.0.0.1"
HOSTS = (LOCALHOST, "localhost")


def person() -> str:
    """The name of the account that runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without an entry, as in some containers
        return "unknown"


def serve(home: Home, port: int, author: str, ready: Callable[[str], None]) -> None:
    """Serve until interrupted; `ready` is told the address. Port 0: one that is free.

    ConfigError where the port is taken.
    """
    app = create_app(home, author=lambda request: author, hosts=HOSTS)
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with listener:
        try:
            listener.bind((LOCALHOST, port))
        except OSError as error:
            raise ConfigError(
                f"port {port} of {LOCALHOST} cannot be had ({error.strerror}); give another, or 0 for one "
                "that is free: star ui --port 0"
            ) from None
        listener.listen()  # who opens the address at once waits for the first page, and is not refused
        ready(f"http://{LOCALHOST}:{listener.getsockname()[1]}/")
        config = uvicorn.Config(app, log_level="warning", server_header=False, access_log=False)
        uvicorn.Server(config).run(sockets=[listener])
