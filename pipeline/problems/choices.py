"""Multiple-choice answers: the layouts they come in, and their permutation."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from string import ascii_lowercase
from typing import Any

from pipeline.problems.bad_rows import BadRowError, shorten
from pipeline.records import Problem

LAYOUTS = "a list of {label, text}, a list of texts, an object key -> text, or {label: [...], text: [...]}"


def read_choices(value: Any) -> dict[str, str]:
    """Key (lowercased) to text, in the order of the keys.

    The store keeps choices as a JSON object with sorted keys; the order here is the same, so that a prompt
    rendered at load equals one rendered from the store. BadRowError for another layout, a key twice, fewer
    than two.
    """
    pairs = _pairs(value)
    choices: dict[str, str] = {}
    for key, text in pairs:
        if not isinstance(key, (str, int)) or not isinstance(text, (str, int, float)):
            raise BadRowError("wrong_type", f"choice {shorten((key, text))} is not a key and a text")
        name, shown = str(key).strip().lower(), str(text).strip()
        if not name or not shown:
            raise BadRowError("bad_choices", f"choice {shorten((key, text))} has an empty key or text")
        if name in choices:
            raise BadRowError("bad_choices", f"choice key {name!r} occurs twice in {shorten(value)}")
        choices[name] = shown
    if len(choices) < 2:
        raise BadRowError("bad_choices", f"choices are {shorten(value)}; expected at least two, as {LAYOUTS}")
    return dict(sorted(choices.items()))


def _pairs(value: Any) -> Sequence[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        labels, texts = value.get("label"), value.get("text")
        if isinstance(labels, Sequence) and isinstance(texts, Sequence) and not isinstance(labels, str):
            if len(labels) != len(texts):
                counted = f"{len(labels)} labels and {len(texts)} texts"
                raise BadRowError("bad_choices", f"choices have {counted}; expected as many of each")
            return list(zip(labels, texts, strict=True))
        return list(value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        if all(isinstance(item, Mapping) and "label" in item and "text" in item for item in value):
            return [(item["label"], item["text"]) for item in value]
        if all(isinstance(item, str) for item in value) and len(value) <= len(ascii_lowercase):
            return list(zip(ascii_lowercase, value, strict=False))
    raise BadRowError("wrong_type", f"choices are {shorten(value)}; expected {LAYOUTS}")


def right_key(answer: Any, choices: Mapping[str, str], listed: bool) -> str:
    """The key that `answer` names. `listed`: the choices came as a list of texts, so an integer is a
    position.

    Raises BadRowError if no choice has that key.
    """
    if listed and isinstance(answer, int) and not isinstance(answer, bool):
        if 0 <= answer < len(choices):
            return list(choices)[answer]
    elif isinstance(answer, (str, int)) and not isinstance(answer, bool):
        key = str(answer).strip().lower()
        if key in choices:
            return key
    raise BadRowError(
        "answer_not_a_choice", f"answer {shorten(answer)} is not among the choices {', '.join(choices)}"
    )


def shuffle_choices(problem: Problem) -> Problem:
    """The problem with its texts permuted over its keys, by its id alone; without choices, itself.

    The gold solution goes, since it may name a choice by the key it had.
    """
    if not problem.choices:
        return problem
    keys = list(problem.choices)
    order = list(keys)
    random.Random(f"choices {problem.problem_id}").shuffle(order)
    moved = {new: problem.choices[old] for new, old in zip(keys, order, strict=True)}
    answer = keys[order.index(problem.answer)]
    return replace(problem, choices=moved, answer=answer, solution=None)
