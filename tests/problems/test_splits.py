"""Dev and exemplars drawn from train, exemplars of the config, imported rationales."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.errors import ConfigError, DataError
from pipeline.problems import load_problems
from pipeline.records import RejectionReason, Split

EXEMPLAR = {"question": "Question 3?", "rationale": "Three.\n#### 3\n", "answer": "3"}


@pytest.fixture
def train(write_rows: Any) -> dict[str, Any]:
    """Forty problems, every second with a gold solution that ends with an answer line."""
    write_rows(
        "train.jsonl",
        [
            {
                "id": f"t{n}",
                "question": f"Question {n}?",
                "answer": n,
                "solution": f"Count.\n#### {n}" if n % 2 else "?",
            }
            for n in range(40)
        ],
    )
    return {"kind": "jsonl", "path": "train.jsonl", "fields": {"problem_id": "id", "solution": "solution"}}


def _ids(loaded: Any, split: Split) -> list[str]:
    return [problem.problem_id for problem in loaded.problems if problem.split is split]


def test_dev_from_train_moves_that_many_by_seed(make_config: Any, train: Any) -> None:
    loaded = load_problems(make_config({"train": train}, dev_from_train=10))
    dev = _ids(loaded, Split.DEV)
    assert len(dev) == 10 and len(_ids(loaded, Split.TRAIN)) == 30
    assert not set(dev) & set(_ids(loaded, Split.TRAIN))
    assert dev == _ids(load_problems(make_config({"train": train}, dev_from_train=10)), Split.DEV)
    assert dev != _ids(load_problems(make_config({"train": train}, dev_from_train=10, seed=1)), Split.DEV)
    assert loaded.notes[1:3] == [
        "train: 40 problems read, 0 left out as exemplars, 0 contaminated, 10 moved to dev: 30 left",
        "dev: 10 problems",
    ]


def test_dev_from_train_of_a_smaller_draw_is_part_of_a_larger_one(make_config: Any, train: Any) -> None:
    few = _ids(load_problems(make_config({"train": train}, dev_from_train=5)), Split.DEV)
    many = _ids(load_problems(make_config({"train": train}, dev_from_train=15)), Split.DEV)
    assert set(few) < set(many)


def test_dev_from_train_of_all_is_refused(make_config: Any, train: Any) -> None:
    with pytest.raises(ConfigError, match=r"dev_from_train is 40, but there are 40 train problems"):
        load_problems(make_config({"train": train}, dev_from_train=40))


def test_exemplars_from_train_are_solved_problems_that_leave_the_pool(make_config: Any, train: Any) -> None:
    config = make_config({"train": train}, exemplars_from_train=4, prompts={"answer_line": "^####"})
    loaded = load_problems(config)
    assert len(loaded.exemplars) == 4
    assert all(one.rationale == f"Count.\n#### {one.answer}" for one in loaded.exemplars)
    assert loaded.hinted_exemplars == loaded.exemplars
    assert [one.reason for one in loaded.rejections] == [RejectionReason.EXEMPLAR] * 4
    gone = {one.problem_id for one in loaded.rejections}
    assert gone == {one.problem_id for one in loaded.left_out}
    assert not gone & set(_ids(loaded, Split.TRAIN)) and len(loaded.problems) == 36


def test_exemplars_from_train_without_enough_solutions_is_refused(make_config: Any, train: Any) -> None:
    config = make_config({"train": train}, exemplars_from_train=21, prompts={"answer_line": "^####"})
    with pytest.raises(
        ConfigError, match=r"21, but 20 of 40 train problems have a gold solution whose last line"
    ):
        load_problems(config)


def test_exemplar_of_the_config_leaves_train(make_config: Any, train: Any) -> None:
    loaded = load_problems(make_config({"train": train}, prompts={"few_shot": [EXEMPLAR]}))
    assert [(one.problem_id, one.reason) for one in loaded.rejections] == [("t3", RejectionReason.EXEMPLAR)]
    assert "t3" not in _ids(loaded, Split.TRAIN)
    assert loaded.exemplars[0].rationale == "Three.\n#### 3"
    assert loaded.hinted_exemplars == loaded.exemplars


def test_hinted_exemplars_of_the_config_replace_the_others(make_config: Any, train: Any) -> None:
    hinted = {**EXEMPLAR, "question": "Question 5?"}
    prompts = {"few_shot": [EXEMPLAR], "hinted_few_shot": [hinted]}
    loaded = load_problems(make_config({"train": train}, prompts=prompts, exemplars_from_train=2))
    assert [one.question for one in loaded.hinted_exemplars] == ["Question 5?"]
    assert len(loaded.exemplars) == 3
    assert {"t3", "t5"} <= {one.problem_id for one in loaded.rejections}


def test_exemplar_that_asks_an_eval_problem_is_refused(make_config: Any, train: Any) -> None:
    with pytest.raises(ConfigError, match="eval problem t3 .+replace the exemplar"):
        load_problems(make_config({"test": {**train, "split": "eval"}}, prompts={"few_shot": [EXEMPLAR]}))


def test_exemplar_whose_answer_is_no_choice_is_refused(make_config: Any, train: Any) -> None:
    wrong = {**EXEMPLAR, "choices": {"A": "x", "B": "y"}, "answer": "C"}
    with pytest.raises(ConfigError, match=r"few_shot\[0\]\.answer is 'C'; expected one of its choices: a, b"):
        load_problems(make_config({"train": train}, prompts={"few_shot": [wrong]}))


def test_imported_rationales_by_id_or_question_belong_to_train_problems(
    make_config: Any, write_rows: Any, train: Any
) -> None:
    write_rows(
        "imported.jsonl",
        [
            {"problem_id": "t1", "text": " One.\n#### 1 "},
            {"question": "question 2", "text": "Two.\n#### 2"},
            {"problem_id": "t1", "text": "Another way."},
        ],
    )
    loaded = load_problems(make_config({"train": train}, imported={"path": "imported.jsonl"}))
    assert loaded.imported == [("t1", "One.\n#### 1"), ("t2", "Two.\n#### 2"), ("t1", "Another way.")]
    assert loaded.notes[-1] == "3 imported rationales read from imported.jsonl: 3 taken, 0 bad"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"problem_id": "t99", "text": "x"}, "unknown_problem"),
        ({"problem_id": "t3", "text": "x"}, "unknown_problem"),  # an exemplar: no longer in train
        ({"question": "Never asked?", "text": "x"}, "unknown_problem"),
        ({"problem_id": "t1", "text": " "}, "missing_text"),
        ({"problem_id": "t1"}, "missing_text"),
        ({"text": "x"}, "missing_field"),
        ("{", "broken_json"),
    ],
)
def test_imported_bad_row_stops_or_is_counted(
    make_config: Any, write_rows: Any, train: Any, row: Any, reason: str
) -> None:
    write_rows("imported.jsonl", [row])
    settings = {"imported": {"path": "imported.jsonl"}, "prompts": {"few_shot": [EXEMPLAR]}}
    with pytest.raises(DataError, match=r"imported\.jsonl line 1"):
        load_problems(make_config({"train": train}, **settings))
    loaded = load_problems(make_config({"train": train}, on_bad_row="skip", **settings))
    assert loaded.imported == []
    assert [(bad.source, bad.line, bad.reason) for bad in loaded.bad] == [("imported.jsonl", 1, reason)]


def test_imported_file_that_is_absent_is_named(make_config: Any, train: Any) -> None:
    with pytest.raises(DataError, match=r"problems\.imported\.path: no file .+absent\.jsonl"):
        load_problems(make_config({"train": train}, imported={"path": "absent.jsonl"}))
