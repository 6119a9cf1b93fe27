"""`star init` and `star config`: a folder of one's own, and what a config really says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pipeline.cli.commands import add
from pipeline.cli.context import home_of, is_experiment, load_named, looks_like_file, recorded_config
from pipeline.cli.run import SET_HELP
from pipeline.cli.terminal import clean, print_json, say
from pipeline.counted import counted

if TYPE_CHECKING:
    from pipeline.config import LoadedConfig
    from pipeline.config.site import LoadedSite

PANEL = "Start"
KINDS = ("configs", "dags")


def register(app: typer.Typer) -> None:
    add(app, init, PANEL, "star init", "star init my-project")
    add(
        app,
        config,
        PANEL,
        "star config configs/gsm8k.yaml --set generate.samples=4",
        "star config addition --json",
        "star config --schema",
        "star config --site",
    )


def init(
    folder: Path = typer.Argument(Path("."), metavar="[DIR]", help="Where to; made if it does not exist."),
    force: bool = typer.Option(False, "--force", help="Overwrite files that differ from the shipped ones."),
) -> None:
    """Write the shipped configs and Airflow DAGs into a folder, to be changed there."""
    written, same, kept = _write_shipped(folder, force)
    for path in written:
        say(f"wrote {path}")
    if same:
        say(f"as shipped, there already: {counted(same, 'file')}")
    for path in kept:
        say(f"kept {path}: it differs from the shipped one; --force overwrites it")
    configs = folder / "configs"
    say(
        "\nNext:\n"
        f"  star run {configs / 'addition.yaml'}\n"
        "      a small model learns addition, in minutes, without a GPU\n"
        f"  star preview {configs / 'gsm8k.yaml'}\n"
        "      what prompts look like, before anything is generated\n"
        "  star config --schema\n"
        "      every setting with its documentation"
    )


def _write_shipped(folder: Path, force: bool) -> tuple[list[Path], int, list[Path]]:
    """Files written, the number that were there as shipped, and files kept because they differ."""
    from pipeline.paths import write_atomically

    written: list[Path] = []
    kept: list[Path] = []
    same = 0
    for source, relative in _shipped():
        target = folder / relative
        data = source.read_bytes()
        if target.is_file() and target.read_bytes() == data:
            same += 1
        elif target.exists() and not force:
            kept.append(target)
        else:
            write_atomically(target, data)
            written.append(target)
    return written, same, kept


def _shipped() -> Iterator[tuple[Path, Path]]:
    """Every shipped config and DAG with its path in a user's folder."""
    from pipeline.paths import package_data

    for kind in KINDS:
        try:
            root = package_data(kind)
        except FileNotFoundError:
            continue  # a package without DAGs has none to write
        for path in sorted(root.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                yield path, Path(kind) / path.relative_to(root)


def config(
    ctx: typer.Context,
    target: str | None = typer.Argument(
        None,
        metavar="CONFIG|EXPERIMENT",
        help="A YAML file, the name of a shipped config, or an experiment that exists.",
        show_default=False,
    ),
    set_: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help=SET_HELP),
    schema: bool = typer.Option(
        False, "--schema", help="Every field with its documentation, default and bounds instead."
    ),
    site: bool = typer.Option(
        False,
        "--site",
        help="The site's settings instead: Airflow, store and prices; with --schema, their fields.",
    ),
    json: bool = typer.Option(False, "--json", help="JSON on stdout; with --schema a JSON schema."),
) -> None:
    """Show a config as it will be used, with where each value came from, or every field there is.

    The output is a valid config again.
    """
    from pipeline.cli.config_text import schema_text
    from pipeline.config import ExperimentConfig
    from pipeline.config.site import SiteConfig, load_site
    from pipeline.errors import ConfigError

    if schema:
        kind = SiteConfig if site else ExperimentConfig
        if json:
            print_json(kind.model_json_schema())
        else:
            print(schema_text(kind))
        return
    if site:
        if target is not None or set_:
            raise ConfigError("--site shows the settings of the site, not of a config; leave out the others")
        _show(load_site(home_of(ctx)), "site settings", "default", as_json=json)
        return
    if target is None:
        raise ConfigError("name a config, for example: star config configs/gsm8k.yaml; or ask for --schema")
    home = home_of(ctx)
    if not looks_like_file(target) and is_experiment(home, target):
        loaded = recorded_config(home, target, set_)
        default = f"experiment {target}"
    else:
        loaded = load_named(target, set_)
        default = "default"
    _show(loaded, loaded.experiment, default, as_json=json)


def _show(loaded: LoadedConfig | LoadedSite, title: str, default: str, *, as_json: bool) -> None:
    """Print a config or the site's settings; `default` is the origin of what no file sets."""
    from pipeline.cli.config_text import origin_of_leaves, resolved_yaml
    from pipeline.config import LoadedConfig

    if not as_json:
        print(clean(resolved_yaml(loaded, title, default)))
        return
    named = {"experiment": title} if isinstance(loaded, LoadedConfig) else {}
    shown = {"path": str(loaded.path), "config": loaded.config.model_dump(mode="json")}
    print_json({**named, **shown, "origins": origin_of_leaves(loaded, default)})
