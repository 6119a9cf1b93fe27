"""What every stage is given, and what it gives back."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.config import ExperimentConfig
from pipeline.engines import Engine, open_engine
from pipeline.engines.adapters import AdapterEngine, rank_of
from pipeline.engines.tokenizer import Tokenizer, load_tokenizer
from pipeline.engines.weights import resolve_tokenizer
from pipeline.identity import combine_digests, digest, rows_digest
from pipeline.paths import Home
from pipeline.progress import Progress
from pipeline.prompts import PromptBook
from pipeline.prompts.book import ChatRenderer
from pipeline.prompts.of_experiment import book_of
from pipeline.records import Exemplar, Problem, Split
from pipeline.rounds import Stage
from pipeline.store import RunSummary, StageKey, Store
from pipeline.store.tables import write_rows
from pipeline.tiny_base import base_folder, base_tokenizer

VOLATILE = frozenset(
    {"created_at", "seconds", "elapsed_ms", "shard", "superseded", "path", "mean_logprob", "engine"}
)
"""Columns outside the output digest: times, places, and float noise."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model on disk: where, and the hash of its content. An adapter stands on its `base`."""

    path: Path
    content_hash: str
    base: Model | None = None


class EngineHolder:
    """Keeps the newest engine open, so that stages of one process that use one model start it once.

    `loads` are the seconds that each start took, imports included where it was the first.
    """

    def __init__(self) -> None:
        self.loads: list[float] = []
        self._engine: Engine | None = None
        self._key: tuple[str, ...] | None = None

    def get(self, config: ExperimentConfig, model: Model, progress: Progress) -> Engine:
        """An engine for `model`; another one that was open is closed first.

        One that serves adapters stays open for as long as they stand on its base.
        """
        weights, adapter = (model, None) if model.base is None else (model.base, model.path)
        rank = config.train.adapter_rank if adapter is None else rank_of(adapter)
        key = (weights.content_hash, config.engine.model_dump_json(), str(config.prompts.chat), str(rank))
        if self._key == key and isinstance(self._engine, AdapterEngine):
            self._engine.use_adapter(adapter, model.content_hash)
        elif self._engine is None or self._key != key or self._engine.model_hash != model.content_hash:
            self.close()
            started = time.monotonic()
            self._engine = open_engine(
                config.engine,
                weights.path,
                model_hash=model.content_hash,
                chat=config.prompts.chat,
                progress=progress,
                adapter=adapter,
                adapter_rank=rank,
            )
            self._key = key
            self.loads.append(time.monotonic() - started)
        return self._engine

    def rest(self) -> None:
        """Free the GPU for a training; an engine that serves adapters keeps the base's weights."""
        if not (isinstance(self._engine, AdapterEngine) and self._engine.rest()):
            self.close()

    def close(self) -> None:
        """Free the engine's memory."""
        if self._engine is not None:
            self._engine.close()
        self._engine = self._key = None


@dataclass(slots=True)
class StageContext:
    """One run of a stage: who, which round and shard, with what.

    `model` is the one the stage reads (see `Stage.model`), None where it does not exist because nothing was
    kept to train on. `folder` is this shard's own, named by the input digest. A `fused` stage is followed by
    others in one process, for which it may do beforehand what they will want.
    """

    home: Home
    store: Store
    experiment: str
    round: int
    rounds: int
    stage: Stage
    shard: int
    shards: int
    config: ExperimentConfig
    input_digest: str
    base: Model | None
    model: Model | None
    engines: EngineHolder
    progress: Progress
    fused: bool = False
    started: float = field(default_factory=time.monotonic)

    @property
    def key(self) -> StageKey:
        return StageKey(self.experiment, self.round, self.stage.name)

    @property
    def folder(self) -> Path:
        stage = self.home.stage(self.experiment, self.round, self.stage.name)
        return stage / self.input_digest[:12] / f"shard-{self.shard}-of-{self.shards}"

    def need_base(self) -> Model:
        """The base model; prepare has recorded it before any other stage runs."""
        assert self.base is not None, "prepare records the base before any other stage"
        return self.base

    def tokenizer(self) -> Tokenizer:
        """The base's tokenizer: training keeps it, so it is every round's."""
        return load_tokenizer(self.need_base().path, chat=self.config.prompts.chat)

    def prompt_book(self) -> PromptBook:
        """The prompts of this experiment, with the exemplars that prepare recorded."""
        chat = self.tokenizer().render_chat if self.config.prompts.chat else None
        return recorded_prompts(self.store, self.experiment, self.config, chat)

    def in_shard(self, index: int) -> bool:
        """Whether item `index` of the stage's ordered work belongs to this shard."""
        return index % self.shards == self.shard


def recorded_prompts(
    store: Store, experiment: str, config: ExperimentConfig, chat: ChatRenderer | None
) -> PromptBook:
    """The prompts of an experiment, with the exemplars that prepare recorded; `chat` renders a chat."""
    exemplars = store.rows("experiment", experiment=experiment)[0]["exemplars"]
    return book_of(
        config,
        [Exemplar(**item) for item in exemplars["generation"]],
        [Exemplar(**item) for item in exemplars["hinted"]],
        chat,
    )


class Output:
    """Writes a shard's tables as Parquet files and digests their rows on the way."""

    def __init__(self, ctx: StageContext) -> None:
        self._ctx = ctx
        self.files: dict[str, Path] = {}
        self.rows: dict[str, int] = {}
        self._digests: list[str] = []

    def write(self, table: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Write all rows of `table`, the stage's own columns added; returns their number."""
        path = self._ctx.folder / f"{table}.parquet"
        of_rows = combine_digests([])

        def digested() -> Iterable[Mapping[str, Any]]:
            nonlocal of_rows
            for row in rows:
                of_rows = combine_digests((of_rows, rows_digest([row], VOLATILE)))
                yield self._with_keys(row)

        written = write_rows(table, path, digested())
        self.files[table] = path
        self.rows[table] = written.rows
        self._digests.append(of_rows)
        return written.rows

    def add(self, value: Any) -> None:
        """Let a value that is no row of a table take part in the output digest."""
        self._digests.append(digest(value))

    def _with_keys(self, row: Mapping[str, Any]) -> dict[str, Any]:
        ctx = self._ctx
        keys = {"experiment": ctx.experiment, "round": ctx.round, "stage": ctx.stage.name, "shard": ctx.shard}
        return {**keys, "superseded": False, **row}

    @property
    def digest(self) -> str:
        return combine_digests(self._digests)


@dataclass(frozen=True, slots=True)
class StageResult:
    """What a shard's run made: its files by table, the digest of their rows, and the summary."""

    files: Mapping[str, Path]
    output_digest: str
    summary: RunSummary


def result(ctx: StageContext, output: Output, text: str, **fields: Any) -> StageResult:
    """The result of a stage; `text` is its one line for people, `fields` go to RunSummary."""
    seconds = time.monotonic() - ctx.started
    return StageResult(output.files, output.digest, RunSummary(text=text, seconds=seconds, **fields))


def tokenizer_of(config: ExperimentConfig, home: Home) -> Tokenizer:
    """The tokenizer of the config's base, without its weights."""
    tiny = config.model.tiny
    if tiny is None:
        return load_tokenizer(
            resolve_tokenizer(config.model.base, config.model.revision), chat=config.prompts.chat
        )
    folder = base_folder(tiny, home.bases)
    if folder.is_dir():
        return load_tokenizer(folder, chat=config.prompts.chat)
    return Tokenizer(base_tokenizer(tiny), chat=config.prompts.chat)


def problem_of(row: Mapping[str, Any]) -> Problem:
    """A Problem from a row of the table `problems`."""
    return Problem(
        problem_id=row["problem_id"],
        split=Split(row["split"]),
        question=row["question"],
        answer=row["answer"],
        choices=row["choices"] or {},
        difficulty=row["difficulty"],
        source=row["source"],
        solution=row["solution"],
        meta=row["meta"] or {},
    )
