"""Rows of the store as prompts and completions, in plain text or as the turns of a chat."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from pipeline.config import ExperimentConfig
from pipeline.engines.tokenizer import Tokenizer
from pipeline.paths import Home
from pipeline.prompts.of_experiment import book_of
from pipeline.records import Message, Problem, Split
from pipeline.stages.base import tokenizer_of

Row = Mapping[str, Any]
Turns = list[dict[str, str]]


class Shaper:
    """Lays out rows as the experiment's own prompts do: `chat` as turns, else as one text."""

    def __init__(self, config: ExperimentConfig, home: Home, *, chat: bool) -> None:
        self._book = book_of(config, (), (), _renderer(config, home))
        self._chat = chat

    def training(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Training rows with `messages`, or with `prompt` and `completion` as they were trained on."""
        for row in rows:
            if self._chat:
                said = self._said(self._book.rationale(row["completion"]))
                yield {**row, "messages": self._asked(row) + said}
            else:
                yield row

    def preferences(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Pairs with `prompt`, `chosen` and `rejected`."""
        for row in rows:
            if self._chat:
                chosen = self._said(self._book.rationale(row["chosen"]))
                rejected = self._said(row["rejected"])
                yield {**row, "prompt": self._asked(row), "chosen": chosen, "rejected": rejected}
            else:
                yield {**row, "rejected": self._book.completion(row["rejected"])}

    def problems(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Problems with their `prompt`: the canonical one, without exemplars and hint."""
        for row in rows:
            plain = None if self._chat else self._book.canonical(_problem(row)).text
            yield {**row, "prompt": self._asked(row) if plain is None else plain}

    def _asked(self, row: Row) -> Turns:
        return [_turn(message) for message in self._book.messages(_problem(row))]

    def _said(self, text: str) -> Turns:
        return [_turn(Message("assistant", text))]


def _turn(message: Message) -> dict[str, str]:
    return {"role": message.role, "content": message.content}


def _problem(row: Row) -> Problem:
    return Problem(
        problem_id=row["problem_id"],
        split=Split.TRAIN,
        question=row["question"],
        answer=row["answer"],
        choices=row["choices"] or {},
        source=row["source"] or "",
    )


def _renderer(config: ExperimentConfig, home: Home) -> Callable[[list[Message]], str] | None:
    """The chat template of an experiment that has one; the tokenizer is read when it is first needed."""
    if not config.prompts.chat:
        return None

    @cache
    def tokenizer() -> Tokenizer:
        return tokenizer_of(config, home)

    return lambda messages: tokenizer().render_chat(messages)
