"""What was asked of the store, line by line: with the shard files, enough to build it anew.

Each line is one operation (see operations.py) with its time. It is written
inside the operation's transaction, after everything else went well and before COMMIT, so that nothing that is
in the store is missing here. A line more than the store has (a kill in between) does no harm: the caller, who
was not told that it was done, does it again.

Only the line of a removal is written after COMMIT, before anybody else has the store: it takes away what the
lines before it brought, and must not do so where COMMIT failed. Where a kill keeps it from being written, the
experiment's files are still in place, so a rebuild brings back what an archive holds too; the line of a later
restore says as well that it was away.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.identity import canonical_json

NAME = "star.journal.jsonl"


def append(path: Path, entry: Mapping[str, Any]) -> None:
    """Add one entry and wait until it is on disk. The caller holds the store's lock."""
    line = canonical_json(dict(entry)).encode("utf-8", "replace") + b"\n"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = b"\n" + line  # a kill tore the last line: its operation was not committed
        os.write(descriptor, line)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def experiment_of(entry: Mapping[str, Any]) -> str | None:
    """The experiment whose rows an entry changes; None where it does not say (flags taken back, long ago)."""
    found = entry.get("experiment") or entry.get("target") or entry.get("row", {}).get("experiment")
    return None if found is None else str(found)


def beginnings(path: Path) -> dict[str, int]:
    """From which entry on the journal tells of the experiments that were removed or restored at some time.

    What it says of them before is over: a restore brings all rows, and is done only where there are none.
    """
    found: dict[str, int] = {}
    for place, entry in enumerate(entries(path)):
        if entry["do"] == "remove":
            found[entry["experiment"]] = place + 1
        elif entry["do"] == "restore":
            found[entry["experiment"]] = place
    return found


def forks_of(path: Path, experiment: str) -> set[str]:
    """Experiments that were forked from one, less those that were archived since."""
    forks: set[str] = set()
    for entry in entries(path):
        if entry["do"] == "fork" and entry["source"] == experiment:
            forks.add(entry["target"])
        elif entry["do"] == "remove":
            forks.discard(entry["experiment"])
    return forks


def entries(path: Path) -> Iterator[dict[str, Any]]:
    """The entries in order; torn lines, whose operations were never committed, are passed over."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(entry, dict):
                yield entry
