"""`python -m benchmarks.store`: how fast a large store is loaded, asked and shown, and how large it gets.

Shard files are made first, outside the times; they are committed as stages commit theirs. Every part runs in
a process of its own, whose peak memory is told. The folder is removed in the end, the shard files once they
are committed, unless `--keep` says not to.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

from benchmarks.store import load, questions
from benchmarks.store.apart import Seconds, apart, total
from benchmarks.store.rows import Size


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.store")
    parser.add_argument("--rows", type=int, default=5_000_000, help="attempts in all")
    parser.add_argument("--chars", type=int, default=700, help="characters of each")
    parser.add_argument("--experiments", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None, help="where; default: a temporary folder")
    parser.add_argument("--keep", action="store_true", help="leave the store there")
    options = parser.parse_args()
    size = Size(options.rows, options.chars, options.experiments, options.rounds, options.shards)
    root = Path(tempfile.mkdtemp(prefix="star-store-", dir=options.folder))
    try:
        run(root, size, options.repeat, keep=options.keep)
    finally:
        if options.keep:
            print(f"\nkept: {root}")
        else:
            shutil.rmtree(root)


def run(root: Path, size: Size, repeat: int, *, keep: bool) -> None:
    versions = ", ".join(f"{name} {version(name)}" for name in ("duckdb", "pyarrow"))
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {versions}")
    print(
        f"{size.attempts:,} attempts of {size.chars:,} characters: {size.experiments} experiments, "
        f"{size.rounds} rounds, {size.shards} shards\n",
        flush=True,
    )
    shards, seconds, _ = apart(load.write_shards, root, size)
    print(f"shard files: {megabytes(root)} MiB, made in {seconds.wall:.0f} s, not part of the times\n")
    print("| what | wall | CPU | more |\n|---|---|---|---|", flush=True)

    by_stage, seconds, memory = apart(load.commit_shards, root, size, shards)
    row("commit everything", seconds, f"peak {memory:,.0f} MiB, {megabytes(root, 'star.duckdb')} MiB on disk")
    for stage, spent in by_stage.items():
        row(f"of it {stage}", spent, f"{spent.cpu / size.attempts * 1e6:.1f} s CPU for 1M attempts")
    if not keep:
        shutil.rmtree(root / "experiments")  # the shard files: nothing below reads them, and disk is short
    _, seconds, memory = apart(load.compacted, root)
    row("compact", seconds, f"peak {memory:,.0f} MiB, {megabytes(root, 'star.duckdb')} MiB on disk")
    _, seconds, _ = apart(load.snapshot, root)
    row("snapshot", seconds)

    reports, _, memory = apart(questions.reports, root, size.rounds, repeat)
    for name, spent in sorted(reports.items(), key=lambda item: -item[1].cpu):
        row(f"report {name}", spent)
    row("all reports", total(reports.values()), f"peak {memory:,.0f} MiB")
    pages, _, memory = apart(questions.pages, root, size, repeat)
    for name, (first, again) in pages.items():
        row(f"page: {name}", again, f"first after a commit {first.wall:.2f} s, {first.cpu:.2f} s CPU")
    row("all pages", total(again for _, again in pages.values()), f"peak {memory:,.0f} MiB")
    (first, ended, words), seconds, memory = apart(questions.search, root)
    row("search for what nobody wrote", seconds, f"first bytes after {first:.2f} s, end after {ended:.1f} s")
    print(f"\nthe search said: {words}")


def megabytes(root: Path, pattern: str = "*") -> str:
    return f"{sum(path.stat().st_size for path in root.rglob(pattern) if path.is_file()) / (1 << 20):,.0f}"


def row(what: str, seconds: Seconds, more: str = "") -> None:
    print(f"| {what} | {seconds} | {more} |", flush=True)


if __name__ == "__main__":
    main()
