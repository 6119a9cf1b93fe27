"""Commits a large store as stages do: shard files first, then `Store.begin` and `Store.commit` of each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.store.apart import Seconds, measured, total
from benchmarks.store.rows import Maker, Size, checkpoint
from pipeline.cli.context import load_named
from pipeline.paths import Home
from pipeline.progress import default_progress
from pipeline.store import RunSummary, StageKey, Store
from pipeline.store.backend import Compacted
from pipeline.store.maintenance import compact

# As write_rows makes them.
_ROW_GROUP = 2048


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard of a stage whose files are written: rows are those of all its tables."""

    key: StageKey
    shard: int
    shards: int
    files: Mapping[str, Path]
    rows: int


def write_shards(root: Path, size: Size) -> list[Shard]:
    """Write all shard files of all experiments, in the order in which their stages would end."""
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        written = pool.map(_write_experiment, repeat(root), repeat(size), range(size.experiments))
        return [shard for shards in written for shard in shards]


def commit_shards(root: Path, size: Size, shards: list[Shard]) -> dict[str, Seconds]:
    """Commit them, and call their rounds done as `decide` does; the seconds by stage, `begin` included."""
    store = Store(Home(root))
    store.migrate()
    config = load_named("smoke", []).config.model_dump(mode="json")
    now = datetime.now(UTC).replace(tzinfo=None)
    for number in range(size.experiments):
        name = f"made-{number}"
        store.put(
            "experiments",
            [
                {
                    "experiment": name,
                    "config": config,
                    "config_digest": "c",
                    "base_hash": "0" * 64,
                    "created_at": now,
                }
            ],
        )
        for round_ in range(size.rounds + 1):
            row = {"experiment": name, "round": round_, "config": config, "status": "running"}
            store.put("rounds", [{**row, "started_at": now}])
    times: dict[str, list[Seconds]] = {}
    for shard in shards:
        of_shard = {"shard": shard.shard, "shards": shard.shards, "input_digest": "made"}
        summary = RunSummary(rows_in=shard.rows, rows_out=shard.rows, seconds=1.0)
        with measured(times.setdefault(shard.key.stage, [])):
            store.begin(shard.key, **of_shard, host="here", device="cpu", versions={})
            store.commit(shard.key, **of_shard, files=shard.files, output_digest="01", summary=summary)
        if shard.key.stage == "verify_evaluated":
            with measured(times.setdefault("decide", [])):
                finished = {"experiment": shard.key.experiment, "round": shard.key.round, "status": "done"}
                store.put("rounds", [finished])
    return {stage: total(spent) for stage, spent in times.items()}


def compacted(root: Path) -> Compacted:
    """Compact the store; its size before and after."""
    return compact(Store(Home(root)), default_progress())


def snapshot(root: Path) -> None:
    """Copy the store for analysts."""
    Store(Home(root)).snapshot()


def _write_experiment(root: Path, size: Size, number: int) -> list[Shard]:
    return list(_of_experiment(Home(root), Maker(size, f"made-{number}", number)))


def _of_experiment(home: Home, maker: Maker) -> Iterator[Shard]:
    def write(round_: int, stage: str, shard: int, shards: int, tables: Mapping[str, pa.Table]) -> Shard:
        folder = home.stage(maker.experiment, round_, stage) / f"shard-{shard}-of-{shards}"
        folder.mkdir(parents=True)
        files = {}
        for name, table in tables.items():
            files[name] = folder / f"{name}.parquet"
            pq.write_table(table, files[name], compression="zstd", row_group_size=_ROW_GROUP)
        rows = sum(table.num_rows for table in tables.values())
        return Shard(StageKey(maker.experiment, round_, stage), shard, shards, files, rows)

    problems = maker.problems()
    yield write(0, "prepare", 0, 1, {"problems": problems, "prompts": maker.prompts(problems)})
    yield from _evaluated(maker, 0, write)
    shards = maker.size.shards
    for round_ in range(1, maker.size.rounds + 1):
        yield write(round_, "prepare", 0, 1, {})
        kept, left_out, verified = [], [], []
        for shard in range(shards):
            made = maker.attempts(round_, shard)
            yield write(round_, "generate", shard, shards, {"rationales": made["rationales"]})
            verified.append(write(round_, "verify_generated", shard, shards, {"verdicts": made["verdicts"]}))
            kept.append(made["training_rows"])
            left_out.append(made["rejections"])
        yield from verified
        selected = {"training_rows": pa.concat_tables(kept), "rejections": pa.concat_tables(left_out)}
        yield write(round_, "select", 0, 1, selected)
        row = checkpoint(maker.experiment, round_, selected["training_rows"].num_rows)
        yield write(round_, "train", 0, 1, {"checkpoints": row})
        yield from _evaluated(maker, round_, write)


def _evaluated(maker: Maker, round_: int, write: Callable[..., Shard]) -> Iterator[Shard]:
    made = maker.evaluation(round_)
    yield write(round_, "evaluate", 0, 1, {"rationales": made["rationales"]})
    del made["rationales"]
    yield write(round_, "verify_evaluated", 0, 1, made)
