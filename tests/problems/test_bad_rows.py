"""Every kind of bad row: an error that names file and line, or a counted record."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.errors import ConfigError, DataError
from pipeline.problems import load_problems

GOOD = {"question": "How many legs has a spider?", "answer": "8"}
CHOICES = {"choices": "choices"}
FIVE = {"a": "ant", "b": "bee"}

BAD: list[tuple[str, Any, dict[str, str], str]] = [
    ("no answer", {"question": "Why?", "answer": None}, {}, "missing_answer"),
    ("blank answer", {"question": "Why?", "answer": "  "}, {}, "missing_answer"),
    (
        "answer without match",
        {"question": "Why?", "answer": "because"},
        {"answer": r"answer ~ #### (\d+)"},
        "missing_answer",
    ),
    ("answer field absent", {"question": "Why?"}, {}, "missing_field"),
    ("empty question", {"question": " \n", "answer": "1"}, {}, "empty_question"),
    ("null question", {"question": None, "answer": "1"}, {}, "empty_question"),
    ("question of wrong type", {"question": ["Why?"], "answer": "1"}, {}, "wrong_type"),
    ("answer of wrong type", {"question": "Why?", "answer": {"n": 1}}, {}, "wrong_type"),
    ("answer not finite", '{"question": "Why?", "answer": NaN}', {}, "wrong_type"),
    (
        "nested path absent",
        {"question": "Why?", "answer": "1"},
        {"question": "question.stem"},
        "missing_field",
    ),
    (
        "key not among choices",
        {"question": "Who?", "choices": FIVE, "answer": "c"},
        CHOICES,
        "answer_not_a_choice",
    ),
    (
        "position beyond choices",
        {"question": "Who?", "choices": ["x", "y"], "answer": 2},
        CHOICES,
        "answer_not_a_choice",
    ),
    ("one choice", {"question": "Who?", "choices": {"a": "ant"}, "answer": "a"}, CHOICES, "bad_choices"),
    (
        "choice key twice",
        {"question": "Who?", "choices": {"a": "ant", "A": "bee"}, "answer": "a"},
        CHOICES,
        "bad_choices",
    ),
    (
        "empty choice",
        {"question": "Who?", "choices": {"a": "", "b": "bee"}, "answer": "b"},
        CHOICES,
        "bad_choices",
    ),
    (
        "labels and texts differ",
        {"question": "Who?", "choices": {"label": ["A"], "text": ["x", "y"]}, "answer": "A"},
        CHOICES,
        "bad_choices",
    ),
    (
        "choices of wrong type",
        {"question": "Who?", "choices": "ant, bee", "answer": "a"},
        CHOICES,
        "wrong_type",
    ),
    ("broken JSON", '{"question": "Why?", "answer": ', {}, "broken_json"),
    ("deeply nested JSON", "[" * 100_000, {}, "broken_json"),
    ("not an object", "[1, 2]", {}, "wrong_type"),
    ("half a surrogate pair", '{"question": "\\ud800?", "answer": "1"}', {}, "not_unicode"),
    ("no id", {"question": "Why?", "answer": "1", "id": None}, {"problem_id": "id"}, "missing_id"),
]


def _row(fields: dict[str, str]) -> dict[str, Any]:
    """A good row for any of the field maps above."""
    row: dict[str, Any] = dict(GOOD, id="good")
    if "choices" in fields:
        row |= {"choices": {"a": "six", "b": "eight"}, "answer": "b"}
    if "####" in fields.get("answer", ""):
        row["answer"] = "#### 8"
    if "." in fields.get("question", ""):
        row["question"] = {"stem": "How many?"}
    return row


@pytest.mark.parametrize(
    ("row", "fields", "reason"), [case[1:] for case in BAD], ids=[case[0] for case in BAD]
)
def test_load_bad_row_stops_with_file_and_line_or_is_counted(
    make_config: Any, write_rows: Any, row: Any, fields: dict[str, str], reason: str
) -> None:
    write_rows("rows.jsonl", [_row(fields), "", row])
    source = {"kind": "jsonl", "path": "rows.jsonl", "fields": fields}

    with pytest.raises(DataError, match=r"rows\.jsonl line 3: .+on_bad_row=skip"):
        load_problems(make_config({"train": source}))

    loaded = load_problems(make_config({"train": source}, on_bad_row="skip"))
    assert [(bad.source, bad.line, bad.reason) for bad in loaded.bad] == [("rows.jsonl", 3, reason)]
    assert len(loaded.problems) == 1
    assert loaded.notes[0] == f"2 rows read from rows.jsonl (source train): 1 problem, 1 bad (1 {reason})"


def test_load_bytes_that_are_not_utf8_are_a_bad_row(make_config: Any, write_rows: Any) -> None:
    file = write_rows("rows.jsonl", [GOOD])
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes() + b'{"question": "\xff"}\n')
    config = make_config({"train": {"kind": "jsonl", "path": "rows.jsonl"}}, on_bad_row="skip")
    loaded = load_problems(config)
    assert [bad.reason for bad in loaded.bad] == ["not_unicode"]
    assert loaded.problems[0].question == GOOD["question"]


def test_load_id_twice_in_two_sources_names_both_places(make_config: Any, write_rows: Any) -> None:
    fields = {"problem_id": "id"}
    write_rows("train.jsonl", [dict(GOOD, id=7)])
    write_rows("test.jsonl", [{"question": "Another one?", "answer": "2", "id": "7"}])
    sources = {
        "train": {"kind": "jsonl", "path": "train.jsonl", "fields": fields},
        "test": {"kind": "jsonl", "path": "test.jsonl", "split": "eval", "fields": fields},
    }
    with pytest.raises(
        DataError, match=r"train\.jsonl line 1: problem_id '7' is taken by test\.jsonl line 1"
    ):
        load_problems(make_config(sources))


def test_load_same_question_with_another_answer_is_a_bad_row(make_config: Any, write_rows: Any) -> None:
    write_rows("rows.jsonl", [GOOD, {"question": "how many  LEGS has a spider?", "answer": "6"}])
    source = {"train": {"kind": "jsonl", "path": "rows.jsonl"}}
    with pytest.raises(DataError, match=r"line 2: answer '6' differs from '8' .+ rows\.jsonl line 1"):
        load_problems(make_config(source))
    loaded = load_problems(make_config(source, on_bad_row="skip"))
    assert [bad.reason for bad in loaded.bad] == ["conflicting_answer"]
    assert [problem.answer for problem in loaded.problems] == ["8"]


def test_load_same_stem_with_other_choices_is_another_problem(make_config: Any, write_rows: Any) -> None:
    rows = [
        {"question": "Where is it?", "choices": {"a": "here", "b": "there"}, "answer": "a"},
        {"question": "Where is it?", "choices": {"a": "up", "b": "down"}, "answer": "b"},
        {"question": "Where is it?", "choices": {"a": "there", "b": "here"}, "answer": "b"},
    ]
    write_rows("rows.jsonl", rows)
    source = {"kind": "jsonl", "path": "rows.jsonl", "fields": CHOICES}
    loaded = load_problems(make_config({"train": source}))
    assert [problem.choices for problem in loaded.problems] == [rows[0]["choices"], rows[1]["choices"]]
    # The third asks the first again with its choices in another order.
    assert [(bad.line, bad.reason) for bad in loaded.bad] == [(3, "duplicate")]


def test_load_exact_repeat_in_train_keeps_the_first_and_counts_the_other(
    make_config: Any, write_rows: Any
) -> None:
    write_rows("rows.jsonl", [dict(GOOD, id="x"), dict(GOOD, id="y")])
    source = {"kind": "jsonl", "path": "rows.jsonl", "fields": {"problem_id": "id"}}
    loaded = load_problems(make_config({"train": source}))
    assert [problem.problem_id for problem in loaded.problems] == ["x"]
    assert [(bad.line, bad.reason) for bad in loaded.bad] == [(2, "duplicate")]


def test_load_exact_repeat_in_eval_stays_where_it_has_an_id_of_its_own(
    make_config: Any, write_rows: Any
) -> None:
    write_rows("rows.jsonl", [dict(GOOD, id="x"), dict(GOOD, id="y")])
    source = {"kind": "jsonl", "path": "rows.jsonl", "split": "eval", "fields": {"problem_id": "id"}}
    assert len(load_problems(make_config({"test": source})).problems) == 2


def test_load_optional_path_found_nowhere_is_a_config_error(make_config: Any, write_rows: Any) -> None:
    write_rows("rows.jsonl", [GOOD])
    source = {"kind": "jsonl", "path": "rows.jsonl", "fields": {"solution": "solutoin"}}
    with pytest.raises(ConfigError, match=r"sources\.train\.fields\.solution is 'solutoin'.+none of the"):
        load_problems(make_config({"train": source}))


def test_load_no_problem_left_is_an_error(make_config: Any, write_rows: Any) -> None:
    write_rows("rows.jsonl", ["{"])
    source = {"train": {"kind": "jsonl", "path": "rows.jsonl"}}
    with pytest.raises(DataError, match="hold no problem"):
        load_problems(make_config(source, on_bad_row="skip"))
