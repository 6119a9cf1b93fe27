"""From asks to stored attempts, without losing or repeating a completion.

Serves generate, rationalize and evaluate. Asks are worked on in blocks; finished groups of completions are
flushed to part files at once, and a restart asks the engine only for groups that are not whole on disk.
Blocks depend on nothing but the list of asks: a killed run that goes on writes what a whole one writes.
"""

from __future__ import annotations

import itertools
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.config.graders import GraderConfig
from pipeline.engines import Engine
from pipeline.engines.scripted import ScriptedEngine
from pipeline.graders import extract_answer
from pipeline.identity import norm_hash, rationale_id, seed_of, text_hash
from pipeline.progress import Progress, Task
from pipeline.prompts import cut_text
from pipeline.records import (
    Completion,
    FinishReason,
    Origin,
    Problem,
    Prompt,
    Purpose,
    Rejection,
    RejectionReason,
    Request,
    Sampling,
)
from pipeline.store.tables import read_rows, write_rows

BLOCK = 8192
"""Asks worked on at a time: bounds memory, and the reach of length sorting."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One sample wanted of one problem, with the prompt as it will be sent.

    `begun` is the beginning of the text where the prompt already ends with it: the stored text starts so.
    """

    problem: Problem
    prompt: Prompt
    sample: int
    purpose: Purpose
    begun: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """What all asks of a stage share."""

    experiment: str
    round: int
    origin: Origin
    seed: int
    sampling: Sampling
    grader: GraderConfig
    answer_line: str | None
    own_graders: Mapping[str, GraderConfig] = field(default_factory=dict)
    """By source, of those that have a grader of their own."""


@dataclass(slots=True)
class Sampled:
    """What came of a job: counts that add up (`asked` = `attempts` + `prompt_too_long`).

    `engine_seconds` and `engine_tokens` are what this run of it took and wrote; the other counts include what
    an interrupted one had left on disk.
    """

    asked: int = 0
    attempts: int = 0
    resumed: int = 0
    prompt_too_long: int = 0
    cut_off: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    engine_seconds: float = 0.0
    engine_tokens: int = 0
    finish: Counter[str] = field(default_factory=Counter)


class Sampler:
    """Runs one job in one folder.

    After `run`, `attempts()` gives the rows of the table rationales in the order of the asks, `prompts()` the
    distinct prompts, `rejections()` the asks whose prompt fills the context.
    """

    def __init__(self, job: Job, engine: Engine, folder: Path, progress: Progress) -> None:
        self._job, self.engine, self._progress = job, engine, progress
        self._parts = folder / "parts"
        self._sampling = asdict(job.sampling)
        self.sampled = Sampled()

    def run(self, asks: Iterable[Ask], total: int) -> Sampled:
        """Ask for everything that is not on disk yet. `total` is the number of asks, for the progress bar."""
        self._parts.mkdir(parents=True, exist_ok=True)
        title = f"round {self._job.round} {self._job.origin}"
        started = time.monotonic()
        with self._progress.task(title, total, "texts") as bar:
            for number, block in enumerate(_blocks(asks, BLOCK)):
                self._run_block(number, block, bar, started)
        return self.sampled

    def attempts(self) -> Iterator[dict[str, Any]]:
        """Rows of the table rationales."""
        for row in self._rows():
            if row["finish_reason"] != FinishReason.PROMPT_TOO_LONG:
                yield {name: value for name, value in row.items() if name not in ("position", "prompt")}

    def prompts(self) -> Iterator[dict[str, Any]]:
        """Rows of the table prompts, each text once."""
        seen: set[str] = set()
        for row in self._rows():
            if row["prompt_hash"] not in seen:
                seen.add(row["prompt_hash"])
                yield {"prompt_hash": row["prompt_hash"], "text": row["prompt"]}

    def rejections(self) -> Iterator[Rejection]:
        """Asks that got no text because the prompt fills the context."""
        for row in self._rows():
            if row["finish_reason"] == FinishReason.PROMPT_TOO_LONG:
                detail = f"prompt of {row['prompt_tokens']} tokens, context {self.engine.context}"
                yield Rejection(row["problem_id"], None, RejectionReason.PROMPT_TOO_LONG, detail)

    def _rows(self) -> Iterator[dict[str, Any]]:
        by_block = itertools.groupby(sorted(self._parts.glob("*.parquet")), key=_block_of)
        for _, files in by_block:
            rows = [row for file in files for row in read_rows(file)]
            yield from sorted(rows, key=lambda row: row["position"])

    def _run_block(self, number: int, block: Sequence[tuple[int, Ask]], bar: Task, started: float) -> None:
        known: dict[str, tuple[int, Ask]] = {}
        for position, ask in block:
            known[self._id(ask)] = (position, ask)
        if len(known) != len(block):
            raise ValueError(f"block {number} asks for one sample twice: {len(block)} asks, {len(known)} ids")
        done = self._on_disk(number)
        self.sampled.asked += len(block)
        if done:
            bar.resume(len(done))
        if len(done) == len(block):
            return
        requests = [Request(key, ask.prompt.text, self._seed(ask)) for key, (_, ask) in known.items()]
        self._tell_script(known)
        groups = self.engine.groups(requests)
        missing = [group for group in groups if any(request.request_id not in done for request in group)]
        parts = sum(1 for _ in self._parts.glob(f"{number:05d}-*.parquet"))
        for completions in self._timed(self.engine.complete(missing, self._job.sampling)):
            fresh = [completion for completion in completions if completion.request_id not in done]
            rows = [self._row(completion, *known[completion.request_id]) for completion in fresh]
            write_rows("parts", self._parts / f"{number:05d}-{parts:05d}.parquet", rows)
            parts += 1
            self._count(rows)
            self.sampled.engine_tokens += sum(row["completion_tokens"] for row in rows)
            bar.advance(len(rows), self._speed(time.monotonic() - started))

    def _timed(self, finished: Iterator[list[Completion]]) -> Iterator[list[Completion]]:
        """The same lists; the time in which the engine had the turn is added up."""
        while True:
            since = time.monotonic()
            completions = next(finished, None)
            self.sampled.engine_seconds += time.monotonic() - since
            if completions is None:
                return
            yield completions

    def _speed(self, spent: float) -> str:
        sampled = self.sampled
        rate, share = sampled.engine_tokens / max(spent, 1e-9), sampled.engine_seconds / max(spent, 1e-9)
        return f"{sampled.completion_tokens:,} tokens, {rate:,.0f} tokens/s, engine {share:.0%}"

    def _on_disk(self, number: int) -> set[str]:
        done: set[str] = set()
        for file in sorted(self._parts.glob(f"{number:05d}-*.parquet")):
            rows = list(read_rows(file))
            done.update(row["rationale_id"] for row in rows)
            self._count(rows)
            self.sampled.resumed += len(rows)
        return done

    def _count(self, rows: Sequence[Mapping[str, Any]]) -> None:
        counts = self.sampled
        for row in rows:
            counts.finish[row["finish_reason"]] += 1
            counts.prompt_tokens += row["prompt_tokens"]
            counts.completion_tokens += row["completion_tokens"]
        counts.prompt_too_long = counts.finish[FinishReason.PROMPT_TOO_LONG]
        counts.cut_off = counts.finish[FinishReason.LENGTH]
        counts.attempts = counts.finish.total() - counts.prompt_too_long

    def _tell_script(self, known: Mapping[str, tuple[int, Ask]]) -> None:
        if isinstance(self.engine, ScriptedEngine):
            keys = {
                key: (ask.problem.problem_id, str(self._job.origin), ask.sample)
                for key, (_, ask) in known.items()
            }
            self.engine.keys = keys

    def _seed(self, ask: Ask) -> int:
        return seed_of(self._job.seed, self._job.round, self._job.origin, ask.problem.problem_id, ask.sample)

    def _id(self, ask: Ask) -> str:
        return rationale_id(
            experiment=self._job.experiment,
            round_=self._job.round,
            origin=self._job.origin,
            problem_id=ask.problem.problem_id,
            sample=ask.sample,
            prompt_hash=text_hash(ask.prompt.text),
            sampling=self._sampling,
            seed=self._seed(ask),
            model_hash=self.engine.model_hash,
        )

    def _row(self, completion: Completion, position: int, ask: Ask) -> dict[str, Any]:
        job = self._job
        whole = ask.begun + completion.text
        grader = job.own_graders.get(ask.problem.source, job.grader)
        text, finish = cut_text(whole, completion.finish_reason, job.sampling.stop, job.answer_line)
        return {
            "position": position,
            "prompt": ask.prompt.text,
            "rationale_id": completion.request_id,
            "experiment": job.experiment,
            "round": job.round,
            "origin": job.origin,
            "purpose": ask.purpose,
            "problem_id": ask.problem.problem_id,
            "split": ask.problem.split,
            "difficulty": ask.problem.difficulty,
            "sample": ask.sample,
            "prompt_style": ask.prompt.style,
            "text": text,
            "answer": extract_answer(grader, text, ask.problem.choices),
            "hint": ask.prompt.hint,
            "finish_reason": finish,
            "prompt_tokens": completion.prompt_tokens,
            "completion_tokens": completion.completion_tokens,
            "text_chars": len(text),
            "norm_hash": norm_hash(text),
            "mean_logprob": completion.mean_logprob,
            "sampling": self._sampling,
            "seed": self._seed(ask),
            "engine": self.engine.kind,
            "model_hash": self.engine.model_hash,
            "prompt_hash": text_hash(ask.prompt.text),
            "seconds": completion.seconds,
            "created_at": datetime.now(UTC).replace(tzinfo=None),
        }


def remove_parts(folder: Path) -> None:
    """Part files below `folder` go once their rows stand in a shard file that is committed, not before."""
    for parts in folder.rglob("parts"):
        shutil.rmtree(parts, ignore_errors=True)


def asks_for(
    problems: Iterable[Problem], prompt: Callable[[Problem], Prompt], samples: int, purpose: Purpose
) -> Iterator[Ask]:
    """`samples` asks for each problem, side by side, so that they meet in the engine's prefix cache."""
    for problem in problems:
        rendered = prompt(problem)
        for sample in range(samples):
            yield Ask(problem, rendered, sample, purpose)


def _blocks(asks: Iterable[Ask], size: int) -> Iterator[list[tuple[int, Ask]]]:
    numbered = enumerate(asks)
    while block := list(itertools.islice(numbered, size)):
        yield block


def _block_of(path: Path) -> str:
    return path.name.split("-")[0]
