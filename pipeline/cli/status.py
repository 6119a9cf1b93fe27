"""`star status`: experiments, rounds, stages; who holds what; the last error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from pipeline.cli.commands import add
from pipeline.cli.context import home_of, known_experiment
from pipeline.cli.terminal import clean, print_json, print_table, say
from pipeline.report.tables import ROUND_COLUMNS, further_table, round_cells
from pipeline.stage_states import stage_states, was_interrupted

if TYPE_CHECKING:
    from pipeline.store import Store

PANEL = "Look"
Row = Mapping[str, Any]
_STARTING: Row = {"state": "starting", "rounds": None, "rounds_done": 0, "accuracy": None, "seconds": None}


def register(app: typer.Typer) -> None:
    add(app, status, PANEL, "star status", "star status gsm8k", "star status gsm8k --round 2 --json")


def status(
    ctx: typer.Context,
    experiment: str | None = typer.Argument(None, help="Name of an experiment. Default: all of them."),
    round_: int | None = typer.Option(
        None, "--round", min=0, help="Show the stages of this round. Default: the last one started."
    ),
    json: bool = typer.Option(False, "--json", help="JSON on stdout."),
) -> None:
    """Show experiments, or the rounds and stages of one: done, stale, running and by whom, the last error.

    Of a stage: its wall time, the tokens that a model wrote or was trained on per second of it, the share of
    it in which the model was at work, and the most memory of its processes and of the GPU.
    """
    from pipeline.store import Store

    home = home_of(ctx)
    store = Store(home)
    if experiment is None and not store.exists():
        if json:
            print_json([])
        else:
            say(f"no experiments in {home.root} yet; start one: star demo, or star run CONFIG")
        return
    if experiment is None:
        _all(store, json)
    else:
        _one(store, known_experiment(store, experiment), round_, json)


def holders(store: Store, experiment: str | None = None) -> list[dict[str, Any]]:
    """Leases that still bind, of one experiment or of all."""
    from pipeline.store.lease import is_living

    return [
        row
        for row in store.rows("leases")
        if is_living(row) and (experiment is None or row["experiment"] == experiment)
    ]


def _held_by(lease: Row) -> str:
    return (
        f"{lease['what']} by process {lease['pid']} on {lease['host']} "
        f"since {lease['acquired_at']:%Y-%m-%d %H:%M:%S} UTC"
    )


def _all(store: Store, as_json: bool) -> None:
    living = {lease["experiment"]: lease for lease in holders(store)}
    rows = []
    for row in store.rows("experiments_status"):
        lease = living.get(row["experiment"])
        state = _experiment_state(row, lease)
        rows.append({**row, "state": state, "held_by": _held_by(lease) if lease else None})
    known = {row["experiment"] for row in rows}
    for name, lease in living.items():
        if name not in known:  # its base is still being made or fetched
            rows.insert(0, {**_STARTING, "experiment": name, "held_by": _held_by(lease)})
    if as_json:
        print_json(rows)
        return
    if not rows:
        say(f"no experiments in {store} yet; start one: star demo, or star run CONFIG")
        return
    print_table(
        ("experiment", "state", "rounds", "accuracy", "minutes", "last"),
        [_all_cells(row) for row in rows],
        right=frozenset({"rounds", "accuracy", "minutes"}),
    )


def _all_cells(row: Row) -> list[Any]:
    done = max((row["rounds_done"] or 0) - 1, 0)
    accuracy = "" if row["accuracy"] is None else f"{row['accuracy']:.1%}"
    minutes = "" if row["seconds"] is None else f"{row['seconds'] / 60:.1f}"
    if row["held_by"]:
        last = row["held_by"]
    elif row["state"] == "failed":
        last = f"round {row['last_round']} {row['last_stage']}: {str(row['last_error']).splitlines()[0]}"
    else:
        last = row["reason"] or f"round {row['last_round']} {row['last_stage']}"
    return [
        row["experiment"],
        row["state"],
        _rounds_cell(row["state"], done, row["rounds"]),
        accuracy,
        minutes,
        last,
    ]


def _rounds_cell(state: str, done: int, asked: int | None) -> str:
    """Rounds that are done; of how many, where there are more to go."""
    if asked is None:
        return ""
    return str(done) if state == "finished" else f"{done}/{asked}"


def _experiment_state(row: Row, lease: Row | None) -> str:
    """running, failed, interrupted, finished (it decided to stop) or paused (more rounds to go)."""
    if lease is not None:
        return "running"
    if row["last_status"] == "failed":
        return "interrupted" if was_interrupted(row["last_error"]) else "failed"
    if row["last_status"] in ("running", "interrupted"):
        return "interrupted"
    return "finished" if row["decision"] == "stop" else "paused"


def _one(store: Store, experiment: str, round_: int | None, as_json: bool) -> None:
    from pipeline.pace import expected_end

    rounds = store.rows("rounds_summary", experiment=experiment)
    further = store.rows("reports/further_by_round", experiment=experiment)
    runs = store.rows("last_runs_of_stages", experiment=experiment)
    leases = holders(store, experiment)
    started = [run["round"] for run in runs]
    shown = round_ if round_ is not None else max(started, default=0)
    stages = stage_states(store, experiment, shown, runs, running=bool(leases))
    errors = [run for run in runs if run["status"] == "failed" and not was_interrupted(run["error"])]
    left = [stage["stage"] for stage in stages if stage["state"] not in ("done", "forked")]
    end = expected_end(store, experiment, shown, left) if leases else None
    if as_json:
        print_json(
            {
                "experiment": experiment,
                "rounds": rounds,
                "further": further,
                "round": shown,
                "stages": stages,
                "expected_end": end,
                "held_by": leases,
                "errors": errors,
            }
        )
        return
    right = frozenset(ROUND_COLUMNS)
    print_table(ROUND_COLUMNS, [round_cells(row) for row in rounds], title=experiment, right=right)
    print()
    if further:
        print_table(*further_table(further), title="further sets")
        print()
    _print_stages(stages, shown)
    if any(stage["state"] == "stale" for stage in stages):
        say(
            "stale: done with other inputs (config, flags, model or version) than today's; "
            f"star run {experiment} does it again"
        )
    for row in [row for row in rounds if row["decision"]][-1:]:
        print(f"\nround {row['round']}: {row['decision']}: {clean(row['reason'])}")
    for lease in leases:
        print(f"\nheld by: {clean(_held_by(lease))}")
    if end is not None:
        print(f"\n{end}, if it goes as round {shown - 1}")
    for run in errors:
        print(f"\nlast error, {run['stage']} of round {run['round']}:\n  {clean(str(run['error']))}")


def _print_stages(stages: Sequence[Row], round_: int) -> None:
    print_table(
        (f"round {round_}", "state", *_NUMBERS, "what it did"),
        [[stage["stage"], stage["state"], *_numbers(stage), stage["summary"] or ""] for stage in stages],
        right=frozenset(_NUMBERS),
    )


_NUMBERS = ("seconds", "tokens/s", "engine", "MiB", "GPU MiB")


def _numbers(stage: Row) -> list[str]:
    """Wall time, what a model wrote or saw in it, its share of it, and the most memory."""
    seconds, tokens = stage["seconds"], stage["engine_tokens"]
    memory = (stage["peak_memory"], stage["peak_gpu_memory"])
    return [
        "" if seconds is None else f"{seconds:,.1f}",
        f"{tokens / seconds:,.0f}" if tokens and seconds else "",
        f"{stage['engine_seconds'] / seconds:.0%}" if tokens and seconds else "",
        *("" if size is None else f"{size:,.0f}" for size in memory),
    ]
