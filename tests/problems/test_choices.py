"""Layouts of multiple choice, and their permutation."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from pipeline.errors import ConfigError
from pipeline.identity import canonical_json
from pipeline.problems import load_problems
from pipeline.problems.choices import read_choices, right_key, shuffle_choices
from pipeline.records import Problem, Split

EXPECTED = {"a": "ant", "b": "bee", "c": "cat"}


@pytest.mark.parametrize(
    "value",
    [
        [{"label": "A", "text": "ant"}, {"label": "B", "text": "bee"}, {"label": "C", "text": "cat"}],
        ["ant", "bee", "cat"],
        {"A": "ant", "B": "bee", "C": "cat"},
        {"label": ["A", "B", "C"], "text": ["ant", "bee", "cat"]},
    ],
)
def test_choices_of_every_layout_read_the_same(value: Any) -> None:
    assert read_choices(value) == EXPECTED


def test_choices_stand_in_the_order_of_their_keys_as_the_store_gives_them_back() -> None:
    choices = read_choices({"C": "cat", "A": "ant", "B": "bee"})
    assert list(choices.items()) == list(EXPECTED.items())
    assert list(json.loads(canonical_json(choices))) == list(choices)


def test_choices_with_numbers_as_keys_and_texts_are_read_as_text() -> None:
    assert read_choices({"label": [1, 2], "text": [3.5, 4]}) == {"1": "3.5", "2": "4"}


def test_right_key_counts_positions_only_in_a_list_of_texts() -> None:
    assert right_key(0, EXPECTED, listed=True) == "a"
    assert right_key("C", EXPECTED, listed=True) == "c"
    assert right_key(2, {"1": "x", "2": "y"}, listed=False) == "2"


def _problem(number: int) -> Problem:
    choices = {key: f"text {key} of {number}" for key in "abcde"}
    return Problem(f"p{number}", Split.TRAIN, "?", "c", choices, solution="Therefore (c).")


def test_shuffle_keeps_the_right_text_and_depends_on_the_id_only() -> None:
    for number in range(50):
        problem = _problem(number)
        shuffled = shuffle_choices(problem)
        assert shuffled == shuffle_choices(problem)
        assert shuffled.choices[shuffled.answer] == problem.choices["c"]
        assert sorted(shuffled.choices.values()) == sorted(problem.choices.values())
        assert list(shuffled.choices) == list("abcde")
        assert shuffled.solution is None


def test_shuffle_spreads_the_right_answer_over_all_keys() -> None:
    counts = Counter(shuffle_choices(_problem(number)).answer for number in range(1000))
    assert set(counts) == set("abcde")
    assert min(counts.values()) > 150


def test_shuffle_leaves_a_problem_without_choices_alone() -> None:
    problem = Problem("p", Split.TRAIN, "?", "3", solution="3")
    assert shuffle_choices(problem) is problem


def test_load_shuffle_choices_changes_the_problems(make_config: Any, write_rows: Any) -> None:
    write_rows(
        "rows.jsonl",
        [
            {"question": f"Question {n}?", "choices": ["one", "two", "three", "four"], "answer": 1}
            for n in range(20)
        ],
    )
    source = {"kind": "jsonl", "path": "rows.jsonl", "fields": {"choices": "choices"}}
    plain = load_problems(make_config({"train": source})).problems
    shuffled = load_problems(make_config({"train": source}, shuffle_choices=True)).problems
    assert {problem.answer for problem in plain} == {"b"}
    assert len({problem.answer for problem in shuffled}) == 4
    assert {problem.choices[problem.answer] for problem in shuffled} == {"two"}
    assert [one.problem_id for one in plain] == [one.problem_id for one in shuffled]


def test_config_shuffle_with_imported_rationales_is_refused(make_config: Any) -> None:
    with pytest.raises(ConfigError, match="exclude each other"):
        make_config({"train": {"kind": "jsonl", "path": "x"}}, shuffle_choices=True, imported={"path": "y"})
