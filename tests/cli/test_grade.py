"""`star grade`: a pair, a file, and what is wrong with the call."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli.app import app


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["grade", *arguments])
    return result.exit_code, result.output


@pytest.mark.parametrize(("response", "outcome"), [(r"\boxed{0.5}", "correct"), (r"\boxed{0.4}", "wrong")])
def test_grade_pair_says_outcome_reason_and_answer(response: str, outcome: str) -> None:
    code, output = run("--gold", r"\frac{1}{2}", "--response", response, "--type", "math", "--json")
    document = json.loads(output)
    assert code == 0
    assert document["outcome"] == outcome
    assert document["answer"] == response[7:-1]


def test_grade_pair_explained_shows_extraction_and_path() -> None:
    code, output = run("--gold", "7", "--response", "so #### 7", "--preset", "gsm8k", "--explain")
    assert code == 0
    assert "extract by hash4" in output
    assert "in the calling process" in output


def test_grade_file_writes_each_row_back_in_the_order_read(tmp_path: Path) -> None:
    rows = [{"id": index, "gold": str(index), "response": f"#### {index % 2}"} for index in range(5)]
    source, out = tmp_path / "rows.jsonl", tmp_path / "graded.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, _ = run(str(source), "--preset", "gsm8k", "--out", str(out))
    graded = [json.loads(line) for line in out.read_text().splitlines()]
    assert code == 0
    assert [row["id"] for row in graded] == list(range(5))
    assert [row["outcome"] for row in graded] == ["correct", "correct", "wrong", "wrong", "wrong"]
    assert all({"score", "reason", "answer", "elapsed_ms"} <= row.keys() for row in graded)


def test_grade_row_without_gold_names_file_and_line(tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text('{"gold": "1", "response": "1"}\n{"response": "2"}\n')
    code, output = run(str(source), "--type", "numeric", "--out", str(tmp_path / "out.jsonl"))
    assert code == 65
    assert "rows.jsonl line 2" in output
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize(
    "arguments",
    [("--type", "math"), ("--gold", "1", "--response", "1"), ("rows.jsonl", "--type", "math")],
    ids=["nothing to grade", "no grader", "no --out"],
)
def test_grade_incomplete_call_is_refused_with_what_is_missing(arguments: tuple[str, ...]) -> None:
    code, output = run(*arguments)
    assert code == 2
    assert "give" in output or "--out" in output
