"""rationalize: which problems see their answer, what they are shown, and that training never does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from tests.stages.conftest import Lab, right

HINTED = "select problem_id, count(*) from rationales where origin = 'rationalized' and not superseded group by 1 order by 1"


def test_rationalize_only_problems_without_a_correct_sample_are_hinted(lab: Lab) -> None:
    lab.says("p1", ["no idea", right(2)])
    lab.run(until="rationalize")
    assert lab.rows(HINTED) == [(f"p{index}", 1) for index in (0, 2, 3, 4, 5)]


def test_rationalize_below_a_pass_rate_hints_half_solved_problems_too(lab: Lab) -> None:
    lab.says("p1", ["no idea", right(2)])
    lab.run("rationalize.when=pass_rate_below", "rationalize.below=0.75", until="rationalize")
    assert lab.rows(HINTED) == [(f"p{index}", 1) for index in range(6)]


def test_rationalize_off_asks_nothing(lab: Lab) -> None:
    lab.run("rationalize.enabled=false", until="verify_rationalized")
    assert lab.rows(HINTED) == []


def test_rationalize_samples_and_share_change_how_much_is_asked(lab: Lab) -> None:
    lab.run("rationalize.samples=3", "rationalize.share=0.5", until="rationalize")
    assert [count for _, count in lab.rows(HINTED)] == [3, 3, 3]


def test_rationalize_cut_off_correct_sample_counts_as_failed(lab: Lab) -> None:
    lab.says("p1", ["gives #### 2"], finish="length")
    lab.run("prompts.answer_line=null", until="rationalize")
    assert ("p1", 1) in lab.rows(HINTED)


def test_rationalize_prompt_without_a_hint_stops_before_anything_is_generated(lab: Lab) -> None:
    without = 'prompts.hinted_question="Q: {question}\\nA:"'
    with pytest.raises(ConfigError, match="shows no hint for 'What is 0 \\+ 0"):
        lab.run(without)
    assert lab.rows("select count(*) from rationales") == [(0,)]
    assert lab.run(without, "rationalize.enabled=false", until="prepare", name="unhinted")


def test_rationalize_prompt_shows_the_gold_answer_and_never_the_gold_solution(lab: Lab) -> None:
    source = lab.folder / "train.jsonl"
    rows = [json.loads(line) for line in source.read_text().splitlines()]
    source.write_text("".join(json.dumps({**row, "gold": "SECRET solution"}) + "\n" for row in rows))
    lab.run("problems.sources.train.fields.solution=gold", until="rationalize")
    prompts = lab.rows(
        "select prompts.text, hint, style.prompt_style from rationales style join prompts using (prompt_hash) "
        "where origin = 'rationalized' and problem_id = 'p4'"
    )
    assert prompts == [("Q: What is 4 + 4? (8)\nA:", prompts[0][1], "hinted")]
    assert "8" in prompts[0][1]
    assert lab.rows("select count(*) from prompts where contains(text, 'SECRET')") == [(0,)]


def test_rationalize_own_exemplars_carry_hints(lab: Lab) -> None:
    lab.run(
        'prompts.few_shot=[{question: "What is 9 + 1?", rationale: "9 and 1 make 10.\\n#### 10", answer: "10"}]',
        until="rationalize",
    )
    text = lab.rows(
        "select prompts.text from rationales join prompts using (prompt_hash) "
        "where origin = 'rationalized' and problem_id = 'p0'"
    )[0][0]
    assert text == "Q: What is 9 + 1? (10)\nA: 9 and 1 make 10.\n#### 10\n\nQ: What is 0 + 0? (0)\nA:"


def test_rationalized_row_is_trained_behind_the_canonical_prompt_without_hint(lab: Lab) -> None:
    lab.says("p2", [right(4, "Two and two")], origin="rationalized")
    lab.run(until="select")
    rows = lab.rows("select prompt, completion, origin from training_rows")
    assert rows == [("Q: What is 2 + 2?\nA:", " Two and two gives 4.\n#### 4", "rationalized")]


def test_regenerate_tests_each_correct_text_without_hint_and_last_line(lab: Lab) -> None:
    lab.says("p2", [right(4)], origin="rationalized")
    lab.says("p2", ["#### 4"], origin="evaluated")  # what the model writes in place of the last line
    lab.says("p3", [right(6)], origin="rationalized")
    lab.says("p3", ["#### 7"], origin="evaluated")
    lab.run("rationalize.regenerate=true", until="select")
    rows = lab.rows(
        "select problem_id, prompts.text, rationales.text, outcome from rationales "
        "join prompts using (prompt_hash) join verdicts using (experiment, rationale_id) "
        "where purpose = 'regeneration' order by 1"
    )
    assert rows == [
        ("p2", "Q: What is 2 + 2?\nA: Adding them up gives 4.\n", right(4), "correct"),
        ("p3", "Q: What is 3 + 3?\nA: Adding them up gives 6.\n", "Adding them up gives 6.\n#### 7", "wrong"),
    ]
    assert lab.rows("select problem_id from training_rows order by 1") == [("p2",), ("p3",)]


def test_regenerate_named_in_exclude_flagged_leaves_out_what_does_not_lead_to_the_answer(lab: Lab) -> None:
    for problem, wanted, written in (("p2", 4, 4), ("p3", 6, 7)):
        lab.says(problem, [right(wanted)], origin="rationalized")
        lab.says(problem, [f"#### {written}"], origin="evaluated")
    lab.run("rationalize.regenerate=true", "select.exclude_flagged=[regenerates]", until="select")
    assert lab.rows("select problem_id from training_rows") == [("p2",)]
    rejected = lab.rows("select problem_id, reason, detail from rejections where reason = 'quality'")
    assert rejected == [("p3", "quality", "regenerates")]


QUALITY = (
    "verify.grader={type: multi, calculate_output: answer, graders: "
    "{answer: {type: numeric, extract: [hash4]}, equations: {type: false_equation}}}"
)


@pytest.mark.parametrize(("exclude", "kept"), [("[]", ["p1", "p2"]), ("[equations]", ["p1"])])
def test_quality_subscore_marks_a_row_or_excludes_it(lab: Lab, exclude: str, kept: list[str]) -> None:
    lab.says("p1", ["1 + 1 = 2.\n#### 2"])
    lab.says("p2", ["2 + 2 = 5, or rather 4.\n#### 4"])
    lab.run(QUALITY, f"select.exclude_flagged={exclude}", until="select")
    assert [row[0] for row in lab.rows("select problem_id from training_rows order by 1")] == kept
    rates = lab.store.rows("reports/quality_by_round", experiment="lab")
    found = {
        (row["subscore"], row["attempts"], row["flagged"]) for row in rates if row["origin"] == "generated"
    }
    assert found == {("answer", 4, 0), ("equations", 4, 2)}


@pytest.mark.slow
def test_rationalize_by_the_base_or_the_previous_model_names_another_writer(lab: Lab, tmp_path: Path) -> None:
    lab.says("p1", [right(2)])
    for writer in ("base", "previous"):
        lab.run("rounds=2", f"rationalize.model={writer}", name=writer)
    rows = dict(
        lab.rows(
            "select experiment, rationales.model_hash = experiments.base_hash from rationales "
            "join experiments using (experiment) where origin = 'rationalized' and round = 2 group by all"
        )
    )
    assert rows == {"base": True, "previous": False}
