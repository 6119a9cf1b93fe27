"""Where a shared store is: `ducklake:postgres:` and how to reach the catalog, with no secret in it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from pipeline.errors import ConfigError

SCHEME = "ducklake:postgres:"
_EXAMPLE = f"{SCHEME}host=db.example dbname=star user=star password=$STAR_DB_PASSWORD"
_NAMED = re.compile(r"^\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?$")
# A catalog that is down is told within seconds; a machine that vanished soon lets go of its lock.
_DEFAULTS = {"application_name": "star", "connect_timeout": "10", "options": "-c tcp_keepalives_idle=30"}


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """A DuckLake's catalog: `conninfo` as libpq takes it, without the password that `password_env` names."""

    conninfo: str
    password_env: str | None

    @classmethod
    def parse(cls, text: str) -> StoreUrl:
        """The parts of a store URL. ConfigError for another kind of store and for a password in the text.

        After the scheme comes what libpq takes, `keyword=value` words or a `postgresql://` URI. Its password
        is `$NAME` of an environment variable, or is left to libpq (PGPASSWORD, PGPASSFILE, ~/.pgpass). The
        text is in no message: it may hold a secret.
        """
        if not text.startswith(SCHEME):
            raise ConfigError(
                f"the store's URL does not begin with {SCHEME!r}; expected for example: {_EXAMPLE}"
            )
        words = _words(text.removeprefix(SCHEME))
        password = words.pop("password", None)
        named = _NAMED.match(password) if password else None
        if (password and not named) or "sslpassword" in words:
            raise ConfigError(
                "the store's URL holds a password (not shown); name an environment variable that holds it: "
                f"{_EXAMPLE}"
            )
        if "dbname" not in words:
            raise ConfigError(f"the store's URL names no dbname; expected for example: {_EXAMPLE}")
        from psycopg.conninfo import make_conninfo

        return cls(make_conninfo(**{**_DEFAULTS, **words}), named[1] if named else None)

    def password(self) -> str | None:
        """What the named variable holds; None where libpq finds the password itself."""
        if self.password_env is None:
            return None
        value = os.environ.get(self.password_env)
        if not value:
            raise ConfigError(
                f"environment variable {self.password_env} is not set; the store's URL names it for the "
                "password of the catalog: export it where star and its workers start"
            )
        return value

    def __str__(self) -> str:
        return f"{SCHEME}{self.conninfo}"


def _words(conninfo: str) -> dict[str, str]:
    try:
        import psycopg
        from psycopg.conninfo import conninfo_to_dict
    except ImportError:
        raise ConfigError(
            "a store on DuckLake needs packages that are not installed; run: "
            "pip install 'star-pipeline[ducklake]'"
        ) from None
    try:
        return {name: str(value) for name, value in conninfo_to_dict(conninfo).items() if value is not None}
    except psycopg.ProgrammingError:  # its message quotes the text
        raise ConfigError(
            f"the store's URL is not one that libpq reads; expected for example: {_EXAMPLE}"
        ) from None
