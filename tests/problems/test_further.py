"""Further sets are read as sources are, and train problems that repeat their questions go."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.config import ExperimentConfig
from pipeline.config.load import validate
from pipeline.errors import ConfigError, DataError
from pipeline.problems import load_problems
from pipeline.records import RejectionReason, Split
from tests.problems.conftest import MakeConfig, WriteRows


def _with_sets(config: ExperimentConfig, **sets: dict[str, Any]) -> ExperimentConfig:
    data = config.model_dump(mode="json")
    return validate({**data, "evaluate": {**data["evaluate"], "further": sets}}, source="test config")


@pytest.fixture
def config(make_config: MakeConfig, write_rows: WriteRows) -> ExperimentConfig:
    """Train problems `What is 1?` to `What is 9?`."""
    write_rows("train.jsonl", [{"question": f"What is {i}?", "answer": str(i)} for i in range(1, 10)])
    return make_config({"train": {"kind": "jsonl", "path": "train.jsonl"}})


def test_further_set_takes_the_train_problems_that_it_asks_too(
    config: ExperimentConfig, write_rows: WriteRows
) -> None:
    write_rows("other.jsonl", [{"question": q, "answer": "x"} for q in ("what is 3", "What is 7?", "Who?")])
    loaded = load_problems(_with_sets(config, other={"path": "other.jsonl"}))
    assert [(one.reason, one.detail.split(" problem ")[0]) for one in loaded.rejections] == [
        (RejectionReason.CONTAMINATED, "same question as further")
    ] * 2
    assert "train: 9 problems read, 0 left out as exemplars, 2 contaminated" in "\n".join(loaded.notes)
    assert "further other: 3 problems" in loaded.notes
    further = [one for one in loaded.problems if one.split is Split.FURTHER]
    assert {one.source for one in further} == {"other"} and len(further) == 3


def test_further_set_is_compared_with_generated_problems_too(
    make_config: MakeConfig, write_rows: WriteRows
) -> None:
    source = {"kind": "digit_addition", "train": 20, "eval_per_size": {"2": 5}, "max_digits": 2}
    config = make_config({"sums": source})
    asked = next(one for one in load_problems(config).problems if one.split is Split.TRAIN)
    write_rows("sums.jsonl", [{"question": asked.question, "answer": "0"}])
    loaded = load_problems(_with_sets(config, mine={"path": "sums.jsonl"}))
    assert [one.problem_id for one in loaded.rejections] == [asked.problem_id]


def test_one_problem_may_stand_in_two_further_sets(config: ExperimentConfig, write_rows: WriteRows) -> None:
    write_rows("same.jsonl", [{"question": "Who?", "answer": "x"}])
    loaded = load_problems(_with_sets(config, a={"path": "same.jsonl"}, b={"path": "same.jsonl"}))
    ids = [one.problem_id for one in loaded.problems if one.split is Split.FURTHER]
    assert len(set(ids)) == 2 and [name.split(":")[0] for name in ids] == ["a", "b"]


def test_further_set_limit_draws_the_same_problems_by_seed(
    config: ExperimentConfig, write_rows: WriteRows
) -> None:
    write_rows("many.jsonl", [{"question": f"Who {i}?", "answer": "x"} for i in range(50)])
    limited = _with_sets(config, many={"path": "many.jsonl", "limit": 5})

    def drawn(of: ExperimentConfig) -> list[str]:
        return [one.question for one in load_problems(of).problems if one.split is Split.FURTHER]

    assert len(drawn(limited)) == 5
    assert drawn(limited) == drawn(limited) != drawn(limited.model_copy(update={"seed": 1}))


def test_further_set_with_a_bad_row_says_its_line(config: ExperimentConfig, write_rows: WriteRows) -> None:
    write_rows("other.jsonl", [{"question": "Who?", "answer": "x"}, {"question": "Where?"}])
    with pytest.raises(DataError, match=r"other.jsonl line 2: no field 'answer'"):
        load_problems(_with_sets(config, other={"path": "other.jsonl"}))


def test_further_set_without_its_file_says_the_key(config: ExperimentConfig) -> None:
    with pytest.raises(DataError, match=r"evaluate.further.other.path: no file"):
        load_problems(_with_sets(config, other={"path": "other.jsonl"}))


def test_further_exemplar_that_asks_a_problem_of_its_set_is_refused(
    config: ExperimentConfig, write_rows: WriteRows
) -> None:
    write_rows("other.jsonl", [{"question": "Who?", "answer": "x"}])
    shown = {"question": "who", "rationale": "x", "answer": "x"}
    with pytest.raises(ConfigError, match=r"an exemplar of evaluate.further.other.few_shot asks problem"):
        load_problems(_with_sets(config, other={"path": "other.jsonl", "few_shot": [shown]}))
