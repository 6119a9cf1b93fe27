"""How fast stages and rounds are, and when they will end: for the terminal, task logs and `star status`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.config import ExperimentConfig
from pipeline.progress import clock
from pipeline.rounds import stages_of
from pipeline.store import StageKey, Store

Row = Mapping[str, Any]


def speed_of(run: Row) -> str:
    """`12.3 s, 812 tokens/s, engine 93%, 640 MiB`: one execution of a stage, by columns of `stage_runs`."""
    parts = [f"{run['seconds']:,.1f} s"]
    if run["engine_tokens"] and run["seconds"]:
        parts.append(f"{run['engine_tokens'] / run['seconds']:,.0f} tokens/s")
        parts.append(f"engine {run['engine_seconds'] / run['seconds']:.0%}")
    return ", ".join([*parts, *memory_of(run)])


def memory_of(run: Row) -> list[str]:
    """`640 MiB` of the process tree, and `70,120 MiB of the GPU` where there is one."""
    parts = []
    if run["peak_memory"]:
        parts.append(f"{run['peak_memory']:,.0f} MiB")
    if run["peak_gpu_memory"]:
        parts.append(f"{run['peak_gpu_memory']:,.0f} MiB of the GPU")
    return parts


def stages_after(key: StageKey, config: ExperimentConfig) -> list[str]:
    """The stages of the round that follow one."""
    stages = [stage.name for stage in stages_of(key.round, config)]
    return stages[stages.index(key.stage) + 1 :]


def expected_end(store: Store, experiment: str, round_: int, left: Sequence[str]) -> str | None:
    """`round 2 ends about 14:31 UTC`, by what the stages `left` took in the round before; None where unknown.

    The first round that trains has none to go by: round 0 only measures.
    """
    if round_ < 2 or not left:
        return None
    timings = store.rows("reports/stage_timings", experiment=experiment)
    before = {row["stage"]: row["seconds"] for row in timings if row["round"] == round_ - 1}
    if any(before.get(stage) is None for stage in left):
        return None
    return f"round {round_} ends about {clock(sum(before[stage] for stage in left))}"


def told_of_round(store: Store, experiment: str, round_: int, rounds: int) -> Iterator[str]:
    """What a finished round took, and when the last one will be over if there are as many as asked for."""
    timings = store.rows("reports/stage_timings", experiment=experiment)
    mine = [row for row in timings if row["round"] == round_ and row["seconds"] is not None]
    spent = sum(row["seconds"] for row in mine)
    if not spent:
        return
    whole = {
        "seconds": spent,
        "engine_seconds": sum(row["engine_seconds"] or 0.0 for row in mine),
        "engine_tokens": sum(row["engine_tokens"] or 0 for row in mine),
        "peak_memory": max((row["peak_memory_mib"] or 0.0 for row in mine), default=0.0),
        "peak_gpu_memory": max((row["peak_gpu_memory_mib"] or 0.0 for row in mine), default=0.0),
    }
    yield f"round {round_}: {speed_of(whole)}"
    if 0 < round_ < rounds:
        end = clock(spent * (rounds - round_))
        yield f"round {rounds} of {rounds} ends about {end}, if all go as this one"
