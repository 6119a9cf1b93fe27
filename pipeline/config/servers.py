"""What a config says of a server: its URL and the name of its key, checked, and free of secrets."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from pipeline.errors import ConfigError

KEY_NAME = r"^[A-Z_][A-Z0-9_]*$"
"""What the name of an environment variable with a key looks like; no key does."""


def checked_url(url: str) -> str:
    """`url` itself; ConfigError, which repeats no password, unless it is http(s)://host[:port][/path]."""
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits or any(letter.isspace() or not letter.isprintable() for letter in url):
        shown = "what is given" if "@" in url or "?" in url else repr(url[:80])
        raise ConfigError(
            f"the URL of a server: {shown} is not of the form http(s)://host[:port][/path], "
            "for example http://127.0.0.1:8000/v1"
        )
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ConfigError(
            f"the URL of the server {parts.hostname} holds a user, a password, a query or a fragment, which "
            "configs, tables and logs would show; put the key into an environment variable and its name into "
            "api_key_env"
        )
    return url


def checked_key_name(name: object) -> object:
    """`name` itself; ConfigError, which does not repeat it, where it looks like a key instead."""
    if isinstance(name, str) and not re.fullmatch(KEY_NAME, name):
        raise ConfigError(
            "api_key_env is not the name of an environment variable in capitals, such as SERVER_KEY; "
            "export the key in one and give its name: a key in a config would be shown by tables and logs"
        )
    return name
