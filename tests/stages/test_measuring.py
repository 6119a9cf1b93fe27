"""evaluate, verify_evaluated and decide: one prompt for every round, intervals, and a reason to stop."""

from __future__ import annotations

import json

import pytest

from pipeline.errors import ConfigError
from pipeline.measures import wilson
from pipeline.runner import run_stage
from tests.stages.conftest import Lab, right

FEW_SHOT = (
    'prompts.few_shot=[{question: "What is 9 + 1?", rationale: "9 and 1 make 10.\\n#### 10", answer: "10"}]'
)


def test_evaluate_round_zero_is_measured_in_both_styles_where_there_are_exemplars(lab: Lab) -> None:
    lab.run(FEW_SHOT, "rounds=0", name="both")
    lab.run("rounds=0", name="bare")
    rows = lab.rows(
        "select experiment, prompt_style from evaluations where metric = 'accuracy' and difficulty is null order by all"
    )
    assert rows == [("bare", "zero_shot"), ("both", "few_shot"), ("both", "zero_shot")]


def test_evaluate_accuracy_has_its_wilson_interval(lab: Lab) -> None:
    lab.says("d0", ["no idea"])
    lab.run("rounds=0")
    row = lab.rows(
        "select problems, correct, value, low, high from evaluations where metric = 'accuracy' and difficulty is null"
    )
    expected = wilson(3, 4)
    assert row == [(4, 3, expected.value, expected.low, expected.high)]


def test_evaluate_limit_measures_fewer_problems(lab: Lab) -> None:
    lab.run("rounds=0", "evaluate.limit=2")
    assert lab.rows("select count(*) from rationales where origin = 'evaluated'") == [(2,)]


def test_evaluate_pass_at_k_and_maj_at_k_count_unparsed_problems(lab: Lab) -> None:
    lab.says("d0", [right(1), "no idea", "no idea", "no idea"])  # one of four right, and the only vote
    lab.says("d1", ["none", "none", "none", "none"])  # no parsed answer at all
    lab.says("d2", [right(5), right(5), right(7), right(8)])
    lab.says("d3", [right(1), right(1), right(1), right(7)])  # the majority is wrong
    lab.run("rounds=0", "evaluate.pass_at_k={samples: 4}")
    rows = dict(
        lab.rows(
            "select metric, value from evaluations where samples = 4 and difficulty is null and split = 'dev'"
        )
    )
    assert rows["pass@1"] == pytest.approx((1 / 4 + 0 + 2 / 4 + 1 / 4) / 4)
    assert rows["pass@4"] == pytest.approx(3 / 4)
    assert rows["maj@4"] == pytest.approx(2 / 4)


def test_decide_nothing_kept_ends_with_a_statement_and_trains_nothing(lab: Lab) -> None:
    reason = lab.run("rounds=3")
    assert reason.startswith("nothing was kept in this round, so no model was trained")
    assert lab.rows("select count(*) from checkpoints") == [(0,)]
    assert lab.rows("select max(round), max(status) from rounds") == [(1, "done")]


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        (
            "no idea",
            ": the grader found no answer in 18 of 18 attempts. Where they end in one, correct verify",
        ),
        ("It is \n#### 99", ", then try few-shot exemplars, easier problems, more samples, more tokens or a"),
    ],
    ids=["without an answer", "wrong"],
)
def test_decide_nothing_kept_tells_texts_without_an_answer_from_wrong_ones(
    lab: Lab, text: str, advice: str
) -> None:
    for index in range(6):
        lab.says(f"p{index}", [text])
    assert f"`star show lab --round 1`{advice}" in lab.run()


def test_decide_gate_on_cut_off_texts_stops_with_the_share(lab: Lab) -> None:
    for index in range(6):
        lab.says(f"p{index}", ["and on and on"], finish="length")
    reason = lab.run("rounds=3", "decide.max_cut_off=0.3")
    assert reason.startswith("gate: ")
    assert "are cut off, decide.max_cut_off is 30.0%" in reason


SECOND = "verify.second_grader={type: string_check, name: second, operation: like}"


def test_verify_second_grader_reports_where_the_two_differ_and_decides_nothing(lab: Lab) -> None:
    lab.says("p1", [right(2)])  # the gold 2 is in the text as well: both call it correct
    lab.says("p3", ["It is 6, I think."])  # no answer line: wrong for the first, correct for the second
    lab.run(SECOND, "rationalize.enabled=false", until="select")
    rows = lab.rows(
        "select grader, outcome, count(*) from verdicts join rationales using (experiment, rationale_id) "
        "where problem_id = 'p3' and origin = 'generated' group by all order by 1"
    )
    assert rows == [("main", "wrong", 2), ("second", "correct", 2)]
    assert lab.rows("select problem_id from training_rows") == [("p1",)]
    details = lab.rows("select detail->>'disagreements' from stage_runs where stage = 'verify_generated'")
    expected = lab.rows(
        "select count(*) from verdicts a join verdicts b using (experiment, rationale_id) "
        "where a.decides and not b.decides and a.outcome <> b.outcome and a.stage = 'verify_generated'"
    )
    assert int(details[0][0]) == expected[0][0] >= 2


def test_decide_gate_on_disagreement_stops_the_run(lab: Lab) -> None:
    lab.says("p3", ["It is 6, I think."])
    reason = lab.run(SECOND, "rounds=3", "decide.max_disagreement=0.05")
    assert "judged otherwise by the second grader, decide.max_disagreement is 5.0%" in reason


def test_verify_two_graders_of_one_name_are_a_config_error(lab: Lab) -> None:
    with pytest.raises(ConfigError, match="both named 'main'"):
        lab.run("verify.second_grader={type: string_check}")


@pytest.mark.slow
def test_decide_patience_stops_when_dev_accuracy_does_not_rise(lab: Lab) -> None:
    lab.says("p1", [right(2)])
    reason = lab.run("rounds=5", "decide.patience=2")
    assert reason.startswith("the best dev accuracy rose by +0.0% in the last 2 rounds")
    assert "dev +0.0%" in reason
    assert lab.rows("select max(round) from rounds") == [(2,)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("min_gain", "reason"),
    [(0.3, "the best dev accuracy rose by +25.0% in the last 2 rounds"), (0.2, "all 2 rounds are done")],
)
def test_decide_min_gain_is_the_rise_that_patience_asks_for(lab: Lab, min_gain: float, reason: str) -> None:
    lab.says("p1", [right(2)])
    for problem in ("d1", "d2", "d3"):
        lab.says(problem, [right(1000)])
    settings = ("decide.patience=2", f"decide.min_gain={min_gain}")
    lab.run("rounds=1", *settings)
    lab.says("d1", [right(3)])  # from here on 2 of 4 instead of 1 of 4
    assert lab.run("rounds=2", *settings).startswith(reason)
    assert lab.rows("select round, decision from rounds order by round")[-1] == (2, "stop")


@pytest.mark.slow
@pytest.mark.parametrize(("keep", "stays"), [("best", [True, False, True]), ("last", [False, False, True])])
def test_decide_keep_removes_files_but_no_rows_and_the_run_goes_on(
    lab: Lab, keep: str, stays: list[bool]
) -> None:
    lab.says("p1", [right(2)])
    lab.run("rounds=3", f"train.keep={keep}")
    rows = lab.rows("select round, path, content_hash from checkpoints order by round")
    assert [row[0] for row in rows] == [1, 2, 3]
    # All rounds solve every dev problem: the first of them is the best.
    assert [(lab.home.root / path).exists() for _, path, _ in rows] == stays
    assert lab.run("rounds=3", f"train.keep={keep}").startswith("all 3 rounds are done")
    # Training from the base needs no earlier checkpoint, so a removed one can be made again.
    run_stage(lab.session(["rounds=3", f"train.keep={keep}"]), "train", 2, force=True)
    again = lab.rows("select path, content_hash from checkpoints where round = 2 and not superseded")
    assert (lab.home.root / again[0][0]).exists() and again[0][1] == rows[1][2]


def test_decide_nothing_kept_because_no_gold_answer_can_be_read_says_so(lab: Lab) -> None:
    source = lab.folder / "train.jsonl"
    rows = [json.loads(line) for line in source.read_text().splitlines()]
    source.write_text("".join(json.dumps({**row, "answer": "many"}) + "\n" for row in rows))
    reason = lab.run("rationalize.enabled=false")
    assert "the grader could judge none of 12 attempts" in reason
    assert "--outcome ungraded" in reason


@pytest.mark.parametrize(
    ("setting", "stops"), [("decide.max_ungraded=0.9", True), ("decide.max_ungraded=1.0", False)]
)
def test_decide_gate_on_ungraded_attempts_stops_the_run(lab: Lab, setting: str, stops: bool) -> None:
    source = lab.folder / "train.jsonl"
    rows = [json.loads(line) for line in source.read_text().splitlines()]
    source.write_text("".join(json.dumps({**row, "answer": "many"}) + "\n" for row in rows))
    reason = lab.run("rationalize.enabled=false", setting)
    assert reason.startswith("gate: 100.0% of 12 attempts are ungraded") is stops
