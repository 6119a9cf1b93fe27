"""From asks to stored attempts, without losing or repeating a completion.

Serves generate, rationalize and evaluate. Asks are worked on in blocks; finished groups of completions are
flushed to part files at once, and a restart asks the engine only for groups that are not whole on disk.
Blocks depend on nothing but the list of asks: a killed run that goes on writes what a whole one writes.
A companion sees completions as they are flushed, and may have the engine write more beside them.
"""

from __future__ import annotations

import functools
import itertools
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

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
    """What all asks of a stage share, and what becomes of one: a request, then a row of a part file."""

    experiment: str
    round: int
    origin: Origin
    seed: int
    sampling: Sampling
    grader: GraderConfig
    answer_line: str | None
    own_graders: Mapping[str, GraderConfig] = field(default_factory=dict)
    """By source, of those that have a grader of their own."""

    def request(self, ask: Ask, engine: Engine) -> Request:
        """What the engine is asked; the request's id is that of the attempt."""
        seed = self._seed(ask)
        name = rationale_id(
            experiment=self.experiment,
            round_=self.round,
            origin=self.origin,
            problem_id=ask.problem.problem_id,
            sample=ask.sample,
            prompt_hash=text_hash(ask.prompt.text),
            sampling=_fields_of(self.sampling),
            seed=seed,
            model_hash=engine.model_hash,
        )
        return Request(name, ask.prompt.text, seed)

    def tell_script(self, engine: Engine, asks: Mapping[str, Ask]) -> None:
        """A scripted engine goes by the problem, not by the prompt."""
        if isinstance(engine, ScriptedEngine):
            for name, ask in asks.items():
                engine.keys[name] = (ask.problem.problem_id, str(self.origin), ask.sample)

    def row(self, completion: Completion, position: int, ask: Ask, engine: Engine) -> dict[str, Any]:
        """A row of a part file; `position` is the ask's place among all of the job."""
        whole = ask.begun + completion.text
        grader = self.own_graders.get(ask.problem.source, self.grader)
        text, finish = cut_text(whole, completion.finish_reason, self.sampling.stop, self.answer_line)
        return {
            "position": position,
            "prompt": ask.prompt.text,
            "rationale_id": completion.request_id,
            "experiment": self.experiment,
            "round": self.round,
            "origin": self.origin,
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
            "sampling": _fields_of(self.sampling),
            "seed": self._seed(ask),
            "engine": engine.kind,
            "model_hash": engine.model_hash,
            "prompt_hash": text_hash(ask.prompt.text),
            "seconds": completion.seconds,
            "created_at": datetime.now(UTC).replace(tzinfo=None),
        }

    def _seed(self, ask: Ask) -> int:
        return seed_of(self.seed, self.round, self.origin, ask.problem.problem_id, ask.sample)


class Companion(Protocol):
    """Goes along with a job: sees what is flushed and, if it `fills`, has the engine write more beside it."""

    fills: bool

    def flushed(self, written: Iterable[tuple[Mapping[str, Any], Problem]]) -> None:
        """Rows of the job's part files, those of an interrupted run too, each with its problem."""

    def next(self) -> Request | None:
        """A request to be written beside the job's own, None where there is none now."""

    @property
    def waiting(self) -> bool:
        """Whether requests of its own may still come, or their completions."""

    def answered(self, completions: Sequence[Completion]) -> None:
        """Completions of its requests."""

    def wait(self) -> None:
        """The engine has nothing to write: let some time pass, in which what is awaited may come."""


@dataclass(slots=True)
class Sampled:
    """What came of a job: counts that add up (`asked` = `attempts` + `prompt_too_long`).

    `engine_seconds` and `engine_tokens` are what this run of it took and wrote, with what was written ahead
    of it (`ahead_seconds`) and without what it wrote for its companion (`beside_seconds`); the other counts
    include what an interrupted one had left on disk.
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
    ahead_seconds: float = 0.0
    beside_seconds: float = 0.0
    finish: Counter[str] = field(default_factory=Counter)


class Sampler:
    """Runs one job in one folder.

    After `run`, `attempts()` gives the rows of the table rationales in the order of the asks, `prompts()` the
    distinct prompts, `rejections()` the asks whose prompt fills the context.
    """

    def __init__(
        self,
        job: Job,
        engine: Engine,
        folder: Path,
        progress: Progress,
        *,
        ahead: Sequence[Path] = (),
        companion: Companion | None = None,
    ) -> None:
        """`ahead`: part files with completions that were written before the job was known to want them."""
        self._job, self.engine, self._progress = job, engine, progress
        self._parts = folder / "parts"
        self._ahead, self._companion = ahead, companion
        self._next_part = 0
        self.sampled = Sampled()

    def run(self, asks: Iterable[Ask], total: int) -> Sampled:
        """Ask for everything that is not on disk yet. `total` is the number of asks, for the progress bar."""
        self._parts.mkdir(parents=True, exist_ok=True)
        title = f"round {self._job.round} {self._job.origin}"
        started = time.monotonic()
        with self._progress.task(title, total, "texts") as bar:
            for number, block in enumerate(_blocks(asks, BLOCK)):
                last = self.sampled.asked + len(block) >= total
                self._run_block(number, block, last, bar, started)
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

    def _run_block(
        self, number: int, block: Sequence[tuple[int, Ask]], last: bool, bar: Task, started: float
    ) -> None:
        requests = [self._job.request(ask, self.engine) for _, ask in block]
        known = dict(zip((request.request_id for request in requests), block, strict=True))
        if len(known) != len(block):
            raise ValueError(f"block {number} asks for one sample twice: {len(block)} asks, {len(known)} ids")
        done = self._on_disk(number, known)
        self.sampled.asked += len(block)
        if done:
            bar.resume(len(done))
        if len(done) == len(block):
            return
        self._job.tell_script(self.engine, {name: ask for name, (_, ask) in known.items()})
        groups = self.engine.groups(requests)
        missing = [group for group in groups if any(request.request_id not in done for request in group)]
        feed = _Feed(missing, len(known) - len(done), self._companion if self.engine.mixes else None, last)
        for completions in self._timed(self.engine.complete(feed, self._job.sampling)):
            own = [completion for completion in completions if completion.request_id in known]
            fresh = [completion for completion in own if completion.request_id not in done]
            self._flush(number, fresh, known)
            feed.left -= len(fresh)
            if self._companion is not None:
                self._hand_on(completions, known, self._companion)
            bar.advance(len(fresh), self._speed(time.monotonic() - started))

    def _flush(self, number: int, fresh: Sequence[Completion], known: Mapping[str, tuple[int, Ask]]) -> None:
        if not fresh:
            return
        rows = [self._job.row(each, *known[each.request_id], self.engine) for each in fresh]
        self._write_part(number, rows, known)
        self.sampled.engine_tokens += sum(row["completion_tokens"] for row in rows)

    def _write_part(
        self, number: int, rows: Sequence[Mapping[str, Any]], known: Mapping[str, tuple[int, Ask]]
    ) -> None:
        write_rows("parts", self._parts / f"{number:05d}-{self._next_part:05d}.parquet", rows)
        self._next_part += 1
        self._count(rows, known)

    def _hand_on(
        self, completions: Sequence[Completion], known: Mapping[str, tuple[int, Ask]], companion: Companion
    ) -> None:
        """Give the companion its completions; with none at all the engine is idle, and it may wait."""
        beside = [completion for completion in completions if completion.request_id not in known]
        if beside:
            seconds = sum(completion.seconds for completion in beside)
            self.sampled.beside_seconds += seconds
            self.sampled.engine_seconds -= seconds
            companion.answered(beside)
        if not completions:
            companion.wait()

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

    def _on_disk(self, number: int, known: Mapping[str, tuple[int, Ask]]) -> set[str]:
        """Ids of the block's asks whose completion is flushed, or was written ahead and is now."""
        done: set[str] = set()
        parts = sorted(self._parts.glob(f"{number:05d}-*.parquet"))
        self._next_part = len(parts)
        for file in parts:
            found = list(read_rows(file))
            rows = [row for row in found if row["rationale_id"] in known]
            if len(rows) < len(found):  # what nobody asks for any more is no attempt
                write_rows("parts", file, rows)
            done.update(row["rationale_id"] for row in rows)
            self._count(rows, known)
            self.sampled.resumed += len(rows)
        for file in self._ahead:
            missing = known.keys() - done
            wanted = (row for row in read_rows(file) if row["rationale_id"] in missing)
            rows = [{**row, "position": known[row["rationale_id"]][0]} for row in wanted]
            if rows:
                done.update(row["rationale_id"] for row in rows)
                self._write_part(number, rows, known)
                self._count_ahead(rows)
        return done

    def _count(self, rows: Sequence[Mapping[str, Any]], known: Mapping[str, tuple[int, Ask]]) -> None:
        """Count rows that are on disk, and show them to the companion."""
        counts = self.sampled
        for row in rows:
            counts.finish[row["finish_reason"]] += 1
            counts.prompt_tokens += row["prompt_tokens"]
            counts.completion_tokens += row["completion_tokens"]
        counts.prompt_too_long = counts.finish[FinishReason.PROMPT_TOO_LONG]
        counts.cut_off = counts.finish[FinishReason.LENGTH]
        counts.attempts = counts.finish.total() - counts.prompt_too_long
        if self._companion is not None:
            self._companion.flushed((row, known[row["rationale_id"]][1].problem) for row in rows)

    def _count_ahead(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """What was written ahead took its time from another stage, and left it to this one."""
        seconds = sum(row["seconds"] for row in rows)
        self.sampled.ahead_seconds += seconds
        self.sampled.engine_seconds += seconds
        self.sampled.engine_tokens += sum(row["completion_tokens"] for row in rows)


class _Feed:
    """A block's own groups, then what the companion wants written beside them, until nothing can come of it.

    `left` are the completions of the block that are still awaited. After a block that is not the `last`, the
    companion's requests go on beside the next one.
    """

    def __init__(
        self, own: Sequence[tuple[Request, ...]], left: int, companion: Companion | None, last: bool
    ) -> None:
        self._own, self.left, self._companion, self._last = own, left, companion, last

    def __iter__(self) -> Iterator[tuple[Request, ...] | None]:
        yield from self._own
        if self._companion is None or not self._companion.fills:
            return
        while self.left > 0 or (self._last and self._companion.waiting):
            request = self._companion.next()
            yield (request,) if request is not None else None


@functools.lru_cache(maxsize=16)
def _fields_of(sampling: Sampling) -> dict[str, Any]:
    """As JSON; the same for every row of a job."""
    return asdict(sampling)


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
