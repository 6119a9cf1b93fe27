"""`star grade`: files in order, one pair, explanations, and errors that name the place."""

import json
from pathlib import Path

import pytest

from pipeline.errors import ConfigError, DataError
from pipeline.graders import parse_config
from pipeline.graders.batch import grade_file, grade_pair, load_grader
from pipeline.graders.explain import explain
from pipeline.progress import LogProgress
from pipeline.records import GradeItem, Outcome

MATH = parse_config({"type": "math"})


def write(path: Path, rows: list[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_grade_file_writes_every_row_back_in_order(tmp_path: Path) -> None:
    rows = [
        {"id": 7, "gold": "5", "response": "#### 5"},
        {"id": 8, "gold": 6, "response": "#### 5"},
        {"id": 9, "gold": "x^2", "response": "\\boxed{\\int 2x dx - C + C}"},
        {"id": 10, "gold": "", "response": "#### 5"},
    ]
    out = tmp_path / "deep" / "out.jsonl"
    summary = grade_file(
        write(tmp_path / "in.jsonl", list(rows)), MATH, out, workers=1, progress=LogProgress()
    )
    graded = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["id"] for row in graded] == [7, 8, 9, 10]
    assert [row["outcome"] for row in graded[:2]] == ["correct", "wrong"]
    assert (graded[3]["outcome"], graded[3]["reason"]) == ("ungraded", "unparseable_gold")
    assert graded[0]["answer"] == "5"
    assert summary.rows == 4
    assert sum(summary.outcomes.values()) == 4
    assert summary.text().startswith("4 rows: ")
    assert list(tmp_path.glob("**/*.tmp*")) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("not json", "line 2 is not JSON"),
        ("[1]", "line 2 holds list"),
        ('{"gold": "5"}', "'response' is missing"),
        ('{"gold": null, "response": "5"}', "'gold' is NoneType"),
        ('{"gold": "5", "response": "5", "origin": "dreamt"}', "origin 'dreamt'"),
        ('{"gold": "5", "response": "5", "choices": [1]}', "choices is list"),
    ],
)
def test_grade_file_bad_row_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"gold": "5", "response": "5"}\n' + line + "\n")
    with pytest.raises(DataError, match=message):
        grade_file(path, MATH, tmp_path / "out.jsonl", workers=1, progress=LogProgress())
    assert not (tmp_path / "out.jsonl").exists()


def test_grade_pair_uses_choices() -> None:
    verdict = grade_pair(
        "b",
        "So it is a library.\nThe answer is library.",
        parse_config({"type": "choice"}),
        choices={"a": "bank", "b": "library"},
    )
    assert verdict.outcome is Outcome.CORRECT


def test_load_grader_reads_a_mapping_or_a_section(tmp_path: Path) -> None:
    path = tmp_path / "grader.yaml"
    path.write_text("preset: gsm8k\npercent: strict\n")
    assert load_grader(path).type == "math"
    path.write_text("verify:\n  grader: {type: choice}\n")
    assert load_grader(path).type == "choice"
    for text, message in [
        ("a: 1\n", "no grader"),
        ("type: nothing\n", "type"),
        ("type: math\nunits: furlongs\n", "units"),
    ]:
        path.write_text(text)
        with pytest.raises(ConfigError, match=message):
            load_grader(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_grader(tmp_path / "absent.yaml")


def test_explain_shows_extraction_reading_and_path() -> None:
    steps = dict(explain(GradeItem("", "1, 2", "So \\boxed{2, 1}."), MATH).steps)
    assert steps["extract by boxed"] == "2, 1"
    assert steps["gold read as"] == "group list [value 1, value 2]"
    assert steps["exact path"] == "left open"
    assert steps["comparison"] == "equal (exact)"
    assert steps["decided"] == "in the calling process"
    assert steps["verdict"] == "correct, score 1, reason exact"


def test_explain_of_string_check_shows_where_it_looks() -> None:
    marked = parse_config({"type": "string_check", "answer_marker": "Ans:"})
    assert dict(explain(GradeItem("", "Tue", "so Answer: Tue"), marked).steps)["after 'Ans:'"] == "nothing"
    assert dict(explain(GradeItem("", "Tue", "so Ans: Tue"), marked).steps)["after 'Ans:'"] == "Tue"
    extracted = parse_config({"type": "string_check", "extract": ["hash4", "answer_is"]})
    steps = dict(explain(GradeItem("", "Tue", "The answer is Tue."), extracted).steps)
    assert (steps["extract by hash4"], steps["extract by answer_is"], steps["answer"]) == (
        "nothing",
        "Tue",
        "Tue",
    )


def test_explain_shows_subscores() -> None:
    config = parse_config(
        {
            "type": "multi",
            "graders": {"answer": {"type": "math"}, "fine": {"type": "false_equation"}},
            "calculate_output": "answer * fine",
        }
    )
    steps = dict(explain(GradeItem("", "5", "2 + 2 = 5\n#### 5"), config).steps)
    assert (steps["score of answer"], steps["score of fine"]) == ("1", "0")
    assert steps["formula"] == "answer * fine"
