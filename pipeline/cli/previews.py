"""The prompts that `star preview` shows, made as the stages make them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pipeline.config import ExperimentConfig
from pipeline.engines.tokenizer import Tokenizer
from pipeline.errors import ModelLoadError, NotReadyError
from pipeline.paths import Home
from pipeline.problems import ProblemSet, load_problems
from pipeline.prompts import PromptBook
from pipeline.prompts.book import ChatRenderer
from pipeline.prompts.of_experiment import book_of
from pipeline.records import Problem, PromptStyle, Split
from pipeline.stages.base import tokenizer_of
from pipeline.stages.exemplars import exemplar_notes
from pipeline.stages.further import further_prompts, style_of
from pipeline.stages.tokens import token_row


@dataclass(frozen=True, slots=True)
class Preview:
    """One prompt. `ids`, `tokens` and `labels` are None where there is no tokenizer at hand, or no loss."""

    kind: str
    problem_id: str
    split: str
    style: str
    prompt: str
    completion: str = ""
    hint: str | None = None
    ids: list[int] | None = None
    tokens: list[str] = field(default_factory=list)
    labels: list[int] | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Previews:
    """All prompts, what ends a text, and sentences on what was loaded."""

    items: list[Preview]
    sampling: dict[str, Any]
    notes: list[str]


def previews_of(config: ExperimentConfig, home: Home, count: int) -> Previews:
    """The prompts of the first `count` train problems and as many held-out ones, and of each further set.

    NotReadyError where there is no train problem; ModelLoadError where a chat template is needed and the
    tokenizer cannot be had. Without one, plain prompts are shown as text.
    """
    loaded = load_problems(config)
    notes = [*loaded.notes, *exemplar_notes(config, loaded.exemplars)]
    try:
        tokenizer: Tokenizer | None = tokenizer_of(config, home)
    except ModelLoadError as error:
        if config.prompts.chat:
            raise
        tokenizer = None
        notes.append(f"texts only, no tokens: {error}")
    chat = tokenizer.render_chat if tokenizer is not None and config.prompts.chat else None
    book = book_of(config, loaded.exemplars, loaded.hinted_exemplars, chat)
    items = [
        *_items(config, loaded, book, tokenizer, count),
        *_further(config, loaded, chat, tokenizer, count),
    ]
    return Previews(items, _sampling(config, tokenizer), notes)


def _items(
    config: ExperimentConfig,
    loaded: ProblemSet,
    book: PromptBook,
    tokenizer: Tokenizer | None,
    count: int,
) -> Iterator[Preview]:
    train = [problem for problem in loaded.problems if problem.split == Split.TRAIN][:count]
    held_out = [problem for problem in loaded.problems if problem.split in config.evaluate.splits][:count]
    if not train:
        raise NotReadyError("the config's problems have no train problem; see problems.sources")
    few_shot = config.generate.few_shot != "never"
    for problem in train:
        made = book.generation(problem, few_shot)
        yield _prompt("generation", problem, made.text, made.style, None, tokenizer)
        if config.rationalize.enabled:
            made = book.hinted(problem, config.rationalize.few_shot)
            yield _prompt("hinted", problem, made.text, made.style, made.hint, tokenizer)
        yield _training_row(problem, loaded, book, tokenizer)
    for problem in held_out:
        made = book.evaluation(problem, PromptStyle(config.evaluate.style))
        yield _prompt("evaluation", problem, made.text, made.style, None, tokenizer)


def _further(
    config: ExperimentConfig,
    loaded: ProblemSet,
    chat: ChatRenderer | None,
    tokenizer: Tokenizer | None,
    count: int,
) -> Iterator[Preview]:
    for name, further in (config.evaluate.further or {}).items():
        book = further_prompts(config, further, chat)
        of_set = [one for one in loaded.problems if one.split == Split.FURTHER and one.source == name]
        for problem in of_set[:count]:
            made = book.evaluation(problem, style_of(further))
            yield _prompt(f"further {name}", problem, made.text, made.style, None, tokenizer)


def _prompt(
    kind: str, problem: Problem, text: str, style: str, hint: str | None, tokenizer: Tokenizer | None
) -> Preview:
    ids = tokenizer.encode_prompt(text) if tokenizer is not None else None
    return Preview(
        kind,
        problem.problem_id,
        str(problem.split),
        str(style),
        text,
        hint=hint,
        ids=ids,
        tokens=_names(tokenizer, ids),
    )


def _training_row(
    problem: Problem, loaded: ProblemSet, book: PromptBook, tokenizer: Tokenizer | None
) -> Preview:
    """The canonical prompt with a text to train on: the gold solution if there is one, else an exemplar's."""
    if problem.solution:
        kind, text = "training (with the gold solution as its text)", problem.solution
    elif loaded.exemplars:
        kind, text = "training (with an exemplar's rationale as its text)", loaded.exemplars[0].rationale
    else:
        kind, text = "training (with the gold answer as its text)", problem.answer
    prompt, completion = book.canonical(problem).text, book.completion(text)
    ids: list[int] | None = None
    labels: list[int] | None = None
    if tokenizer is not None:
        ids, labels = token_row(tokenizer, prompt, completion)
    return Preview(
        kind,
        problem.problem_id,
        str(problem.split),
        str(PromptStyle.ZERO_SHOT),
        prompt,
        completion,
        ids=ids,
        tokens=_names(tokenizer, ids),
        labels=labels,
    )


def _names(tokenizer: Tokenizer | None, ids: Sequence[int] | None) -> list[str]:
    return tokenizer.tokens(ids) if tokenizer is not None and ids is not None else []


def _sampling(config: ExperimentConfig, tokenizer: Tokenizer | None) -> dict[str, Any]:
    """What ends a text, and how it is drawn."""
    found: dict[str, Any] = {
        "samples": config.generate.samples,
        "temperature": config.generate.temperature,
        "max_tokens": config.generate.max_tokens,
        "stop strings": list(config.generate.stop),
        "answer line": config.prompts.answer_line,
        "longest training row": config.train.max_length,
    }
    if tokenizer is not None:
        stops = sorted(tokenizer.stop_ids)
        names = tokenizer.tokens([tokenizer.end_id, tokenizer.pad_id])
        found["end token (trained)"] = f"{names[0]} ({tokenizer.end_id})"
        found["padding"] = f"{names[1]} ({tokenizer.pad_id})"
        found["stop tokens"] = [
            f"{name} ({index})" for name, index in zip(tokenizer.tokens(stops), stops, strict=True)
        ]
    return found
