"""What people say of attempts: a flag is put, or taken back, by somebody at some time; none is erased."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, get_args

import duckdb

from pipeline.errors import ConfigError, StoreError
from pipeline.identity import digest

FlagKind = Literal["wrong_verdict", "exclude"]
KINDS: tuple[str, ...] = get_args(FlagKind)
LONGEST_NOTE = 2000
LONGEST_AUTHOR = 100


def checked(kind: str, author: str, note: str) -> tuple[str, str, str]:
    """Kind, author and note as they are stored; ConfigError for what cannot be."""
    author, note = " ".join(author.split()), note.strip()
    if kind not in KINDS:
        raise ConfigError(f"flag kind {kind!r}: expected one of {', '.join(KINDS)}")
    if not author or len(author) > LONGEST_AUTHOR:
        raise ConfigError(f"flag author {author[:40]!r}: expected 1 to {LONGEST_AUTHOR} characters")
    if len(note) > LONGEST_NOTE:
        raise ConfigError(f"flag note of {len(note)} characters: expected at most {LONGEST_NOTE}")
    return kind, author, note


def put(connection: duckdb.DuckDBPyConnection, entry: Mapping[str, Any], now: datetime) -> None:
    """Add the flag; the same person's flag of the same kind that still stands is left as it is."""
    names = ("experiment", "round", "rationale_id", "problem_id", "norm_hash", "kind", "author", "note")
    row = {name: entry[name] for name in names}
    key = {name: row[name] for name in ("experiment", "rationale_id", "kind", "author")}
    standing = connection.execute(
        "SELECT 1 FROM current_flags WHERE experiment = $experiment AND rationale_id = $rationale_id "
        "AND kind = $kind AND author = $author",
        key,
    ).fetchone()
    if standing:
        return
    flag_id = digest([*key.values(), now.isoformat()])[:24]
    connection.execute(
        "INSERT INTO flags BY NAME SELECT $flag_id AS flag_id, $now AS created_at, "
        + ", ".join(f"${name} AS {name}" for name in names),
        {**row, "flag_id": flag_id, "now": now},
    )


def withdraw(connection: duckdb.DuckDBPyConnection, flag_id: str, author: str, now: datetime) -> None:
    """Take a flag back, saying who did; one that was taken back stays so. StoreError for an unknown flag."""
    known = connection.execute(
        "SELECT 1 FROM flags WHERE flag_id = $flag_id", {"flag_id": flag_id}
    ).fetchone()
    if not known:
        raise StoreError(f"flag {flag_id!r} is not in the store; it is listed on the page of its attempt")
    connection.execute(
        "UPDATE flags SET withdrawn_by = $author, withdrawn_at = $now "
        "WHERE flag_id = $flag_id AND withdrawn_at IS NULL",
        {"flag_id": flag_id, "author": author, "now": now},
    )
