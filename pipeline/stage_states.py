"""Whether the stages of a round are done with today's inputs; computed from the store alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.rounds import Stage
    from pipeline.runner import Session
    from pipeline.store import Store


_SUMMED = ("seconds", "engine_seconds", "engine_tokens")
_MOST = ("peak_memory", "peak_gpu_memory")


def stage_states(
    store: Store, experiment: str, round_: int, runs: Sequence[Mapping[str, Any]], *, running: bool
) -> list[dict[str, Any]]:
    """One entry per stage of the round: stage, state, summary, shards, seconds, tokens, memory.

    State: `done`, `stale` (done with other inputs than today's), `running`, `interrupted`, `failed`,
    `waiting`. What lies downstream of a stale stage is stale too. `forked` rounds are left as they are.
    """
    from pipeline.rounds import stages_of

    session = _session(store, experiment)
    rows = store.rows("round", experiment=experiment, round=round_)
    forked = bool(rows) and rows[0]["status"] == "forked"
    states: list[dict[str, Any]] = []
    stale = False
    for stage in stages_of(round_, session.config):
        mine = [run for run in runs if run["round"] == round_ and run["stage"] == stage.name]
        state = "forked" if forked and mine else _state(session, stage, round_, mine, running=running)
        if state == "stale":
            stale = True
        elif state == "done" and stale and not stage.always:
            state = "stale"
        states.append({"stage": stage.name, "state": state, **_totals(mine)})
    return states


def was_interrupted(error: str | None) -> bool:
    """Whether the error of an execution says that somebody stopped it, not that something went wrong."""
    return (error or "").startswith(("KeyboardInterrupt", "Terminated", "SystemExit"))


def _session(store: Store, experiment: str) -> Session:
    """A session that knows the base by its recorded hash, so that nothing is loaded or pretrained."""
    from pipeline.config.load import validate
    from pipeline.progress import LogProgress
    from pipeline.runner import Session
    from pipeline.stages.base import Model

    row = store.rows("experiment", experiment=experiment)[0]
    config = validate(row["config"], source=f"the recorded config of experiment {experiment}")
    base = Model(Path(), row["base_hash"] or "")
    return Session(store.home, store, experiment, config, LogProgress(), _base=base)


def _state(
    session: Session, stage: Stage, round_: int, runs: Sequence[Mapping[str, Any]], *, running: bool
) -> str:
    from pipeline.errors import NotReadyError
    from pipeline.runner import input_digest
    from pipeline.store import StageKey

    if not runs:
        return "waiting"
    recorded = session.store.state(StageKey(session.experiment, round_, stage.name))
    if recorded.status != "done":
        if any(run["status"] == "failed" and not was_interrupted(run["error"]) for run in runs):
            return "failed"
        return "running" if running else "interrupted"
    try:
        model = session.model(stage, round_)
        wanted = input_digest(session, stage, round_, model)
    except NotReadyError:
        return "stale"  # what it was computed from is no longer there
    return "done" if wanted == recorded.input_digest else "stale"


def _totals(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Seconds, tokens, rows and what was said, over the shards of a stage; memory is the most of one."""
    if not runs:
        return dict.fromkeys(("summary", "shards", "rows_out", *_SUMMED, *_MOST))
    latest = runs[-1]
    failed = next((run["error"] for run in runs if run["status"] == "failed"), None)
    texts = [run["summary"] for run in runs if run["summary"]]
    summary = str(failed).splitlines()[0] if failed else (texts[0] if len(texts) == 1 else None)
    done = sum(1 for run in runs if run["status"] == "done")
    if summary is None and latest["shards"] > 1:
        summary = f"{done} of {latest['shards']} shards done"
    return {
        "summary": summary,
        "shards": latest["shards"],
        "rows_out": sum(run["rows_out"] or 0 for run in runs) if done else None,
        **{name: sum(values) if (values := _known(runs, name)) else None for name in _SUMMED},
        **{name: max(_known(runs, name), default=None) for name in _MOST},
    }


def _known(runs: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    return [run[name] for run in runs if run[name] is not None]
