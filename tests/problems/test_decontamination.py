"""Train questions that repeat dev or eval questions go, those that do not stay."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.problems import Decontamination
from pipeline.problems import load_problems
from pipeline.problems.decontamination import HeldOut, normal_question, words
from pipeline.records import Problem, RejectionReason, Split

LONG = "a farmer has twelve brown hens and every hen lays four eggs in one week during spring"


def _problem(question: str, split: Split = Split.TRAIN, name: str | None = None) -> Problem:
    return Problem(name or f"{split}:{question[:40]}", split, question, "1", source="rows")


def _rejection(train: str, held_out: str, **settings: Any) -> str | None:
    index = HeldOut([_problem(held_out, Split.EVAL, "the eval one")], Decontamination(**settings))
    found = index.rejection(_problem(train))
    if found is None:
        return None
    assert (found.reason, found.rationale_id) == (RejectionReason.CONTAMINATED, None)
    assert "eval problem the eval one of source rows" in found.detail
    return found.detail


def test_held_out_same_question_but_for_case_and_punctuation_is_rejected() -> None:
    detail = _rejection("how many eggs, then?", "How many eggs - then")
    assert detail is not None and detail.startswith("same question as")


@pytest.mark.parametrize(
    ("train", "held_out"),
    [
        ("What is 3 - 5?", "What is 3 + 5?"),
        ("What is -5?", "What is 5?"),
        ("What is 3.5?", "What is 35?"),
        ("What is 1/2?", "What is 12?"),
        ("2 < 3?", "2 > 3?"),
    ],
)
def test_held_out_question_with_another_sign_or_number_stays(train: str, held_out: str) -> None:
    assert _rejection(train, held_out) is None


def test_held_out_shared_run_of_words_is_rejected_at_n_and_not_above() -> None:
    shared = " ".join(LONG.split()[:13])
    train, held_out = f"{shared} zebra", f"Other words first. {shared}, giraffe"
    detail = _rejection(train, held_out, ngram=13)
    assert detail is not None and detail.startswith("13 words in a row") and repr(shared) in detail
    assert _rejection(train, held_out, ngram=14) is None
    assert _rejection(train, held_out, ngram=0) is None


def test_held_out_exact_can_be_turned_off() -> None:
    assert _rejection("short one?", "Short one", exact=False, ngram=0) is None
    # Shorter than n words: the n-gram rule compares it whole.
    assert _rejection("short one?", "Short one", exact=False, ngram=13) is not None


def test_held_out_same_id_is_rejected_under_any_setting() -> None:
    index = HeldOut([_problem("x", Split.EVAL, "same")], Decontamination(exact=False, ngram=0))
    assert index.rejection(_problem("y", name="same")) is not None


def test_words_keep_signs_before_numbers_and_drop_hyphens() -> None:
    assert words("A well-known sum: 3 - 5 = -2, 1,000.5%!") == [
        "a", "well", "known", "sum", "3", "-", "5", "=", "-", "2", "1,000.5", "%",
    ]  # fmt: skip
    assert normal_question("?!") == "?!"


vocabulary = st.lists(st.sampled_from(["ant", "bee", "cat", "dog"]), min_size=1, max_size=12)


@given(vocabulary, vocabulary, st.integers(2, 5))
def test_held_out_finds_exactly_the_questions_that_share_a_run(
    train: list[str], held: list[str], n: int
) -> None:
    def runs(text: list[str]) -> set[tuple[str, ...]]:
        return {tuple(text[at : at + n]) for at in range(len(text) - n + 1)}

    index = HeldOut([_problem(" ".join(held), Split.EVAL)], Decontamination(exact=False, ngram=n))
    expected = bool(runs(train) & runs(held)) or (len(held) < n and train == held)
    assert (index.rejection(_problem(" ".join(train))) is not None) == expected


def test_load_contaminated_train_problem_is_left_out_with_its_reason(
    make_config: Any, write_rows: Any
) -> None:
    write_rows(
        "train.jsonl", [{"question": q, "answer": "1"} for q in ("Fresh?", "Same one?", f"{LONG} so what")]
    )
    write_rows("test.jsonl", [{"question": q, "answer": "1"} for q in ("same ONE", f"Well, {LONG}")])
    sources = {
        "train": {"kind": "jsonl", "path": "train.jsonl"},
        "test": {"kind": "jsonl", "path": "test.jsonl", "split": "eval"},
    }
    loaded = load_problems(make_config(sources))
    assert [one.question for one in loaded.problems if one.split is Split.TRAIN] == ["Fresh?"]
    assert [one.reason for one in loaded.rejections] == [RejectionReason.CONTAMINATED] * 2
    assert [one.problem_id for one in loaded.left_out] == [one.problem_id for one in loaded.rejections]
    assert (
        "train: 3 problems read, 0 left out as exemplars, 2 contaminated, 0 moved to dev: 1 left"
        in loaded.notes
    )

    off = load_problems(make_config(sources, decontaminate={"exact": False, "ngram": 0}))
    assert len(off.problems) == 5 and not off.rejections


def test_load_row_that_is_in_train_and_eval_stays_in_eval_only(make_config: Any, write_rows: Any) -> None:
    write_rows("rows.jsonl", [{"question": "Same?", "answer": "1"}])
    sources = {
        "train": {"kind": "jsonl", "path": "rows.jsonl"},
        "test": {"kind": "jsonl", "path": "rows.jsonl", "split": "eval"},
    }
    loaded = load_problems(make_config(sources))
    assert [one.split for one in loaded.problems] == [Split.EVAL]
    assert [one.reason for one in loaded.rejections] == [RejectionReason.CONTAMINATED]


def test_load_train_problem_that_repeats_a_drawn_dev_problem_goes(make_config: Any, write_rows: Any) -> None:
    rows = [{"question": f"{LONG} and then variant {n} of it", "answer": str(n)} for n in range(4)]
    write_rows("train.jsonl", rows)
    source = {"kind": "jsonl", "path": "train.jsonl"}
    loaded = load_problems(make_config({"train": source}, dev_from_train=1))
    assert [one.split for one in loaded.problems] == [Split.DEV]
    assert len(loaded.rejections) == 3
    assert all("dev problem" in one.detail for one in loaded.rejections)


def test_load_generated_problems_are_not_compared(make_config: Any, write_rows: Any) -> None:
    source = {"kind": "column_addition", "train": 50, "eval_per_size": {2: 20}, "max_columns": 2}
    loaded = load_problems(make_config({"columns": source}))
    assert not loaded.rejections
    assert sum(one.split is Split.EVAL for one in loaded.problems) == 20
    train = {one.question for one in loaded.problems if one.split is Split.TRAIN}
    assert train and not train & {one.question for one in loaded.problems if one.split is Split.EVAL}
