"""`star store`: give space back, archive an experiment and put it back, move the store, build it anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pipeline.cli.commands import add
from pipeline.cli.context import home_of, known_experiment, store_of
from pipeline.cli.terminal import clean, examples, print_json, say
from pipeline.counted import counted

if TYPE_CHECKING:
    from pipeline.store.backend import Backend

PANEL = "Use"
_FILE = "file"
_JSON = typer.Option(False, "--json", help="What was done, as JSON on stdout.")


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Keep the store healthy. What each does is whole or not done at all, whatever kills it.",
        epilog=examples("star store compact", "star store archive gsm8k --to /archive/gsm8k"),
    )
    add(group, compact, PANEL, "star store compact")
    add(
        group,
        archive,
        PANEL,
        "star store archive gsm8k --to /archive/gsm8k",
        "star store archive gsm8k --to /backup/gsm8k --keep     a copy; it stays in the store",
    )
    add(group, restore, PANEL, "star store restore /archive/gsm8k")
    add(
        group,
        migrate,
        PANEL,
        "star store migrate 'ducklake:postgres:host=db.example dbname=star password=$STAR_DB_PASSWORD'",
        "star store migrate file     back into star.duckdb",
    )
    add(group, rebuild, PANEL, "star store rebuild", "star store rebuild --to /tmp/compare.duckdb")
    app.add_typer(group, name="store", rich_help_panel=PANEL)


def compact(ctx: typer.Context, json: bool = _JSON) -> None:
    """Give back the space of rows that were replaced or archived. Every row that is in the store stays.

    A file is written anew beside itself and then renamed; there must be room for it. Leaves with 75 while an
    experiment runs.
    """
    from pipeline.progress import default_progress
    from pipeline.store.maintenance import compact as compact_store

    store = store_of(ctx)
    sizes = compact_store(store, default_progress())
    if json:
        print_json({"store": str(store), "bytes_before": sizes.before, "bytes_after": sizes.after})
    else:
        print(f"{store}: {_mib(sizes.before)} before, {_mib(sizes.after)} now")


def archive(
    ctx: typer.Context,
    experiment: str = typer.Argument(help="Name of the experiment."),
    to: Path = typer.Option(..., "--to", metavar="DIR", help="Folder to write; must not hold anything yet."),
    keep: bool = typer.Option(
        False, "--keep", help="Write the folder, and leave the experiment in the store."
    ),
    json: bool = _JSON,
) -> None:
    """Take an experiment out of the store: its rows as Parquet, its shard files, checkpoints and reports.

    It leaves the store only after everything was read back from the folder and is equal. `star store restore`
    puts it back; `star store compact` gives its space back. Leaves with 75 while the experiment runs.
    """
    from pipeline.progress import default_progress
    from pipeline.store.archive import archive as archive_experiment

    store = store_of(ctx)
    known_experiment(store, experiment)
    done = archive_experiment(store, experiment, to.expanduser(), keep=keep, progress=default_progress())
    if json:
        print_json({**asdict(done), "to": str(to), "kept": keep})
        return
    print(f"{to}: {_rows(done.rows)}, {counted(done.files, 'file')}, {_mib(done.bytes)}")
    if not keep:
        say(f"{experiment} is out of the store; `star store compact` gives its space back")


def restore(
    ctx: typer.Context,
    folder: Path = typer.Argument(metavar="DIR", help="Folder that `star store archive` wrote."),
    json: bool = _JSON,
) -> None:
    """Put an archived experiment back, with its files; the archive stays.

    Leaves with 65 where a file of the archive is missing or damaged.
    """
    from pipeline.progress import default_progress
    from pipeline.store.archive import restore as restore_experiment

    done = restore_experiment(store_of(ctx), folder.expanduser(), default_progress())
    if json:
        print_json(asdict(done))
    else:
        print(f"{done.experiment}: {_rows(done.rows)}, {counted(done.files, 'file')}")


def migrate(
    ctx: typer.Context,
    target: str = typer.Argument(
        metavar="TARGET-URL", help="ducklake:postgres:... (see docs/deploy.md), or `file` for star.duckdb."
    ),
    json: bool = _JSON,
) -> None:
    """Copy the store to an empty one of the other kind: the home's file to a DuckLake, or back.

    Every table must have as many rows there as here, else nothing is copied. The old store keeps its rows: a
    file under the name star.duckdb.moved, a lake as it is. Leaves with 75 while an experiment runs.
    """
    from pipeline.progress import default_progress
    from pipeline.store.maintenance import move

    source, there = _both_ends(ctx, target)
    rows = move(source, there, default_progress())
    if json:
        print_json({"from": str(source), "to": str(there), "rows": rows})
        return
    print(f"{there}: {_rows(rows)}, as many as in {source}")
    if target == _FILE:
        say("remove store.url from site.yaml (and STAR_STORE), so that the file is used")
    else:
        say("set store.url in site.yaml (or STAR_STORE) to this URL, so that it is used")


def _both_ends(ctx: typer.Context, target: str) -> tuple[Backend, Backend]:
    from pipeline.config.store_url import StoreUrl
    from pipeline.errors import ConfigError
    from pipeline.store.plain import PlainFile
    from pipeline.store.store import backend_of

    home = home_of(ctx)
    file = PlainFile(home.store_path)
    if target != _FILE:
        from pipeline.store.ducklake import Lake

        return file, Lake(StoreUrl.parse(target), home.root)
    lake = backend_of(home)
    if isinstance(lake, PlainFile):
        raise ConfigError(
            f"the store is {file} already: neither store.url of site.yaml nor STAR_STORE names another"
        )
    return lake, file


def rebuild(
    ctx: typer.Context,
    to: Path | None = typer.Option(
        None, "--to", metavar="FILE", help="DuckDB file to build. Default: star.duckdb of the home."
    ),
    json: bool = _JSON,
) -> None:
    """Build the store's file anew from the journal and the shard files: for when it was lost or damaged.

    Flags, decisions and regrades are in it too. Nothing is overwritten: move a damaged file away first.
    Leaves with 65 where a shard file that counts is gone or changed; the store is built without it, and
    `star run` does the stages that need it again.
    """
    from pipeline.progress import default_progress
    from pipeline.store.maintenance import rebuild as rebuild_store

    home = home_of(ctx)
    target = home.store_path if to is None else to.expanduser()
    rebuilt = rebuild_store(home, target, default_progress())
    if json:
        print_json({"store": str(target), **asdict(rebuilt)})
    else:
        for sentence in rebuilt.left_out:
            print(f"left out: {clean(sentence)}")
        for sentence in rebuilt.replaced:
            print(f"left out, replaced since: {clean(sentence)}")
        print(f"{target}: {counted(rebuilt.operations, 'operation')} repeated")
    if rebuilt.left_out:
        raise typer.Exit(65)


def _rows(rows: Mapping[str, int]) -> str:
    return f"{counted(sum(rows.values()), 'row')} of {counted(len(rows), 'table')}"


def _mib(size: int) -> str:
    return f"{size / (1 << 20):,.1f} MiB"
