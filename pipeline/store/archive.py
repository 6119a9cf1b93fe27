"""An experiment as a folder of its own: out of the store, and put back.

An archive holds `manifest.json`, the experiment's rows of every table (`tables/*.parquet`) and its files at
the paths that the store knows them by (`files/experiments/...`: shard files, checkpoints, reports, settings).
It is written beside its place and renamed when everything was read back from it, so a folder of that name is
whole. Bases that several experiments share stay in the home.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import duckdb

from pipeline import __version__
from pipeline.errors import DataError, StoreError
from pipeline.identity import canonical_json
from pipeline.paths import Home, sync, validate_experiment, write_atomically
from pipeline.progress import Progress
from pipeline.store import journal, queries
from pipeline.store.migrations import PRODUCT, code_version
from pipeline.store.store import Store
from pipeline.store.tables import sha256_of, utc_now
from pipeline.store.whole_experiment import (
    TableFile,
    changed_tables,
    tables_of_experiments,
    write_prompts,
    write_table,
)

MANIFEST = "manifest.json"
FORMAT = 1
# Where a restored experiment keeps its rows: they are loaded from there, and again by a rebuild.
RESTORED = "restored"
_KEYS = ("product", "version", "format", "schema_version", "experiment", "tables", "files")
_KEYS_OF_ENTRY = {"tables": ("table", "path", "sha256", "rows"), "files": ("path", "sha256", "bytes")}


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of an archive: its path below `files/`, which is the one below the home."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Archive:
    """What an archive holds: rows by table, and files."""

    experiment: str
    rows: Mapping[str, int]
    files: int
    bytes: int


def archive(store: Store, experiment: str, target: Path, *, keep: bool, progress: Progress) -> Archive:
    """Write the experiment into the folder `target`, read it back, only then remove it from store and home.

    `keep` leaves it where it is. Raises LeaseHeldError while it runs, and StoreError where `target` holds
    something, where a fork stands on the experiment's files, where what was read back differs, or where
    somebody changed the experiment meanwhile (a flag, a fork). Killed in the middle, either the experiment is
    in the store or the archive is whole.
    """
    _check_place(store.home, experiment, target)
    with store.lease(experiment, "star store archive"):
        if not keep:
            with store.reading() as connection:
                _refuse_forked(connection, store.home, experiment)
        partial = target.with_name(f"{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        (partial / "tables").mkdir(parents=True)
        tables = _write_tables(store, experiment, partial / "tables", progress)
        files = _copy_files(store, experiment, partial / "files", progress)
        manifest = {
            "product": PRODUCT,
            "version": __version__,
            "format": FORMAT,
            "schema_version": code_version(),
            "experiment": experiment,
            "archived_at": utc_now().isoformat(),
            "tables": [
                {
                    "table": file.table,
                    "path": f"tables/{file.path.name}",
                    "sha256": file.sha256,
                    "rows": file.rows,
                }
                for file in tables
            ],
            "files": [asdict(file) for file in files],
        }
        write_atomically(partial / MANIFEST, canonical_json(manifest).encode() + b"\n")
        _sync_folders(partial.rglob("*"), partial)
        os.replace(partial, target)
        sync(target.parent)
        if not keep:

            def check(connection: duckdb.DuckDBPyConnection) -> None:
                _refuse_forked(connection, store.home, experiment)
                _refuse_changed(connection, experiment, tables, target)

            store.remove(experiment, check)
            if (folder := store.home.experiment(experiment)).exists():
                shutil.rmtree(folder)
    return _summary(manifest)


def restore(store: Store, folder: Path, progress: Progress) -> Archive:
    """Put an archived experiment back, under its name. The archive stays.

    Raises DataError where a file of the archive is missing or damaged, or its manifest names a place or a
    table that is not an archive's, StoreError where the store has an experiment of that name, another file
    lies in the way, or the archive is of a newer version. A fork's shard file whose source has another one by
    now is put into the fork's own folder. Killed in the middle, the same call goes on.
    """
    manifest = _read_manifest(folder / MANIFEST)
    experiment = validate_experiment(manifest["experiment"])
    store.migrate()
    with store.reading() as connection:
        _check_entries(folder, manifest, tables_of_experiments(connection))
    with store.lease(experiment, "star store restore"):
        if store.rows("experiment", experiment=experiment):
            raise StoreError(f"experiment {experiment!r} is in the store; archive that one first")
        stored = [StoredFile(**file) for file in manifest["files"]]
        loaded = store.home.experiment(experiment) / RESTORED
        placed, moved = [], {}
        with progress.task(f"restore {experiment}", len(stored), "files") as task:
            for file in stored:
                target = store.home.absolute(file.path)
                if _is_taken(store.home, experiment, target, file.sha256):
                    target = loaded / "files" / file.path
                    moved[file.path] = store.home.relative(target)
                _put_back(folder / "files" / file.path, target, file.sha256)
                placed.append(target)
                task.advance(1, file.path)
        for table in manifest["tables"]:
            placed.append(loaded / f"{table['table']}.parquet")
            _put_back(folder / table["path"], placed[-1], table["sha256"])
        _sync_folders(placed, store.home.root)
        store.restore(
            experiment,
            [
                {**table, "path": store.home.relative(loaded / f"{table['table']}.parquet")}
                for table in manifest["tables"]
            ],
            moved,
        )
    return _summary(manifest)


def _check_place(home: Home, experiment: str, target: Path) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise StoreError(f"{target} holds something already; name a folder that does not exist yet")
    if target.resolve().is_relative_to(home.experiment(experiment).resolve()):
        raise StoreError(f"{target} lies in the folder that is archived; name one elsewhere")


def _refuse_forked(connection: duckdb.DuckDBPyConnection, home: Home, experiment: str) -> None:
    """Forks read the shard files where they are, and a rebuilt store has a fork's rows from its source's."""
    present = _experiments(connection, "all_experiments")
    forks = _experiments(connection, "experiments_on_files_of", experiment=experiment)
    forks |= present & journal.forks_of(home.root / journal.NAME, experiment)
    if forks:
        stand = "was forked from it and stands" if len(forks) == 1 else "were forked from it and stand"
        raise StoreError(
            f"experiment {experiment} cannot leave the store: {', '.join(sorted(forks))} {stand} on its "
            f"files; archive {'that' if len(forks) == 1 else 'those'} first, or copy it with --keep"
        )


def _experiments(connection: duckdb.DuckDBPyConnection, query: str, **parameters: str) -> set[str]:
    rows = queries.fetch(connection, queries.query_text(query), parameters)
    return {row["experiment"] for row in rows}


def _refuse_changed(
    connection: duckdb.DuckDBPyConnection, experiment: str, written: Sequence[TableFile], target: Path
) -> None:
    """Flags and forks need no lease: what they brought while the archive was written is not in it."""
    if changed := changed_tables(connection, experiment, written):
        raise StoreError(
            f"experiment {experiment} changed while it was archived ({', '.join(changed)}), so nothing was "
            f"removed; {target} holds it as it was before: delete that folder or name another, then run again"
        )


def _write_tables(store: Store, experiment: str, folder: Path, progress: Progress) -> list[TableFile]:
    with store.reading() as connection:
        tables = tables_of_experiments(connection)
    written = []
    with progress.task(f"rows of {experiment}", len(tables) + 1, "tables") as task:
        for table in tables:  # each under a lock of its own, so that others can commit in between
            with store.reading() as connection:
                written.append(write_table(connection, table, experiment, folder / f"{table}.parquet"))
            task.advance(1, table)
        prompts = [path for path in _committed(store, experiment, "prompts") if path.is_file()]
        with store.reading() as connection:
            written.append(write_prompts(connection, experiment, prompts, folder / "prompts.parquet"))
        task.advance(1, "prompts")
    return written


def _copy_files(store: Store, experiment: str, folder: Path, progress: Progress) -> list[StoredFile]:
    sources = _files_of(store, experiment)
    copied = []
    with progress.task(f"files of {experiment}", len(sources), "files") as task:
        for source in sources:
            stored = store.home.relative(source)
            sha256, size = _copy(source, folder / stored)
            copied.append(StoredFile(stored, sha256, size))
            task.advance(1, stored)
    return copied


def _files_of(store: Store, experiment: str) -> Sequence[Path]:
    """Files in the experiment's folder, and the shard files elsewhere that a fork stands on."""
    own = store.home.experiment(experiment)
    files = {path for path in own.rglob("*") if path.is_file() and not path.is_relative_to(own / RESTORED)}
    return sorted(files.union(path for path in _committed(store, experiment) if path.is_file()))


def _committed(store: Store, experiment: str, table: str | None = None) -> Iterator[Path]:
    for row in store.rows("committed_files", experiment=experiment):
        if table in (None, row["table_name"]):
            yield store.home.absolute(row["path"])


def _is_taken(home: Home, experiment: str, target: Path, sha256: str) -> bool:
    """Whether another experiment, which this one was forked from, wrote its file anew since."""
    return (
        not target.is_relative_to(home.experiment(experiment).resolve())
        and target.is_file()
        and sha256_of(target) != sha256
    )


def _put_back(source: Path, target: Path, sha256: str) -> None:
    """Copy a file of the archive to its place, where it may lie already. DataError where it is damaged."""
    if not source.is_file():
        raise DataError(f"the archive lacks {source}; nothing was put into the store")
    if target.exists():
        if sha256_of(target) != sha256:
            raise StoreError(f"{target} is in the way and has other content; move it away, then run again")
        return
    partial = target.with_name(f"{target.name}.partial")
    found, _ = _copy(source, partial)
    if found != sha256:
        partial.unlink()
        raise DataError(
            f"{source} is damaged: its SHA-256 is {found[:12]}, the manifest says {sha256[:12]}; nothing was "
            "put into the store: take another copy of the archive"
        )
    os.replace(partial, target)


def _copy(source: Path, target: Path) -> tuple[str, int]:
    """SHA-256 and bytes of a file whose copy is on disk, and was read back from there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    running, size = hashlib.sha256(), 0
    with source.open("rb") as read, target.open("wb") as write:
        while chunk := read.read(1 << 20):
            running.update(chunk)
            size += write.write(chunk)
        write.flush()
        os.fsync(write.fileno())
    if sha256_of(target) != running.hexdigest():
        raise StoreError(f"{target} does not read back as {source}; look at the disk, then run again")
    return running.hexdigest(), size


def _sync_folders(files: Iterable[Path], top: Path) -> None:
    """Wait until the names of files, all below the folder `top`, are on disk."""
    top = top.resolve()
    folders = {folder for file in files for folder in file.resolve().parents}
    for folder in folders:
        if folder.is_relative_to(top):
            sync(folder)


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(
            f"{path.parent} is no archive: it has no {path.name}; see `star store archive`"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is damaged: {error}") from None
    _require_keys(path, manifest, ("product", "format"), "it")
    if manifest["product"] != PRODUCT or manifest["format"] > FORMAT:
        raise DataError(
            f"{path} is not of an archive that {PRODUCT} {__version__} knows; upgrade the package"
        )
    _require_keys(path, manifest, _KEYS, "it")
    for name, keys in _KEYS_OF_ENTRY.items():
        if not isinstance(manifest[name], list):
            raise DataError(f"{path} is damaged: {name!r} is {manifest[name]!r:.80}, expected a list")
        for place, entry in enumerate(manifest[name], start=1):
            _require_keys(path, entry, keys, f"entry {place} of {name!r}")
    if manifest["schema_version"] > code_version():
        raise StoreError(
            f"{path.parent} was archived by {PRODUCT} {manifest['version']} with schema version "
            f"{manifest['schema_version']}, this code knows up to {code_version()}; upgrade the package"
        )
    return manifest


def _require_keys(path: Path, found: Any, keys: Sequence[str], what: str) -> None:
    """DataError naming the first key that a part of a manifest lacks."""
    if not isinstance(found, dict):
        raise DataError(
            f"{path} is damaged: {what} is {found!r:.80}, expected an object with {', '.join(keys)}"
        )
    if missing := [key for key in keys if key not in found]:
        raise DataError(
            f"{path} is damaged: {what} has no {missing[0]!r}, expected {', '.join(keys)}; nothing was put "
            "back: take another copy of the archive"
        )


def _check_entries(folder: Path, manifest: Mapping[str, Any], tables: Sequence[str]) -> None:
    """DataError where a manifest names what `archive` does not write: it may be of somebody else's making."""
    for table in manifest["tables"]:
        if table["table"] not in (*tables, "prompts") or table["path"] != f"tables/{table['table']}.parquet":
            raise _unsafe(folder, table, "expected a table of experiments, at tables/TABLE.parquet")
        if not _lies_in(folder, folder / table["path"]):
            raise _unsafe(folder, table, "its file is a link that leaves the archive")
    for file in manifest["files"]:
        parts = PurePosixPath(file["path"]).parts
        if parts[:1] != ("experiments",) or ".." in parts:
            raise _unsafe(folder, file, "expected a path below experiments/")
        if not _lies_in(folder, folder / "files" / file["path"]):
            raise _unsafe(folder, file, "its file is a link that leaves the archive")


def _lies_in(folder: Path, path: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _unsafe(folder: Path, entry: Mapping[str, Any], reason: str) -> DataError:
    return DataError(
        f"{folder / MANIFEST} has the entry {canonical_json(dict(entry))}: {reason}; nothing was put back: "
        "take an archive from whom you trust"
    )


def _summary(manifest: Mapping[str, Any]) -> Archive:
    rows = {table["table"]: table["rows"] for table in manifest["tables"]}
    return Archive(
        manifest["experiment"], rows, len(manifest["files"]), sum(file["bytes"] for file in manifest["files"])
    )
