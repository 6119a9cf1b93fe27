"""select: what becomes a training row, with which tokens, and that every exclusion has its reason."""

from __future__ import annotations

import pytest

from pipeline.engines.tokenizer import load_tokenizer
from tests.stages.conftest import Lab, right

KEPT = "select problem_id, completion from training_rows where round = 1 and not superseded order by all"
REASONS = "select problem_id, reason from rejections where stage = 'select' and round = 1 and not superseded order by all"


def test_select_correct_attempts_become_rows_and_all_others_have_a_reason(lab: Lab) -> None:
    lab.says("p1", [right(2), right(3)])
    lab.run("rationalize.enabled=false", until="select")
    assert lab.rows(KEPT) == [("p1", " Adding them up gives 2.\n#### 2")]
    reasons = lab.rows(REASONS)
    assert len(reasons) == 11
    assert {reason for _, reason in reasons} == {"wrong"}


def test_select_row_is_prompt_completion_and_one_end_token_with_loss_after_the_prompt(lab: Lab) -> None:
    lab.says("p1", [right(2)])
    lab.run(until="select")
    prompt, completion, ids, labels = lab.rows(
        "select prompt, completion, input_ids, labels from training_rows"
    )[0]
    tokenizer = load_tokenizer(lab.base, chat=False)
    written = [*tokenizer.encode_completion(completion), tokenizer.end_id]
    assert ids == tokenizer.encode_prompt(prompt) + written
    assert labels == [-100] * len(tokenizer.encode_prompt(prompt)) + written
    assert labels.count(tokenizer.end_id) == 1


def test_select_over_long_row_is_left_out_not_truncated(lab: Lab) -> None:
    lab.says("p1", [right(2, "word " * 60)])
    lab.says("p2", [right(4)])
    lab.run("train.max_length=80", until="select")
    assert [problem for problem, _ in lab.rows(KEPT)] == ["p2"]
    assert ("p1", "row_too_long") in lab.rows(REASONS)


def test_select_end_token_inside_a_text_is_left_out(lab: Lab) -> None:
    end = load_tokenizer(lab.base, chat=False)
    marker = end.tokens([end.end_id])[0]
    lab.says("p1", [f"one {marker} two\n#### 2"])
    lab.run(until="select")
    ends = lab.rows(
        f"select len(list_filter(labels, lambda label: label = {int(end.end_id)})) from training_rows"
    )
    assert [row for row in ends if row != (1,)] == []
    assert ends or ("p1", "end_token_inside") in lab.rows(REASONS)


def test_select_per_problem_two_keeps_two_distinct_texts(lab: Lab) -> None:
    lab.says("p1", [right(2, "One way"), right(2, "Another way")])
    lab.run("select.per_problem=2", until="select")
    assert len(lab.rows(KEPT)) == 2


def test_select_unfiltered_control_keeps_wrong_attempts(lab: Lab) -> None:
    lab.run("select.filter=none", "rationalize.enabled=false", until="select")
    assert [problem for problem, _ in lab.rows(KEPT)] == [f"p{index}" for index in range(6)]


def test_select_hint_leak_of_a_rationalized_text_is_left_out(lab: Lab) -> None:
    lab.says("p2", [right(4, "As the hint says, it")], origin="rationalized")
    lab.run(until="select")
    assert lab.rows(KEPT) == []
    assert ("p2", "hint_leaked") in lab.rows(REASONS)


def test_select_leaves_out_what_a_person_excluded_and_is_done_again_for_it(lab: Lab) -> None:
    lab.says("p1", [right(2)])
    lab.says("p2", [right(4)])
    lab.run(until="select")
    assert [problem for problem, _ in lab.rows(KEPT)] == ["p1", "p2"]
    executions = "select count(*) from stage_runs where stage = 'select'"
    assert lab.rows(executions) == [(1,)]
    lab.run(until="select")
    assert lab.rows(executions) == [(1,)]  # nothing new: nothing done
    (kept,) = lab.rows("select rationale_id from training_rows where problem_id = 'p1' and not superseded")
    lab.store.flag("lab", kept[0], kind="wrong_verdict", author="anna", note="a guess")
    lab.run(until="select")
    assert lab.rows(executions) == [(2,)]
    assert [problem for problem, _ in lab.rows(KEPT)] == ["p2"]
    detail = "select detail from rejections where reason = 'excluded_by_person' and not superseded"
    assert lab.rows(detail) == [("verdict called wrong by anna: a guess",)] * 2  # both samples read alike
    (flag,) = lab.store.rows("flags_of_attempt", experiment="lab", rationale_id=kept[0])
    lab.store.withdraw_flag(flag["flag_id"], author="anna")
    lab.run(until="select")
    assert [problem for problem, _ in lab.rows(KEPT)] == ["p1", "p2"]


def test_select_flag_on_what_is_left_out_anyway_changes_no_reason(lab: Lab) -> None:
    lab.run("rationalize.enabled=false", until="select")
    before = lab.rows(REASONS)
    (wrong,) = lab.rows("select min(rationale_id) from rejections")
    lab.store.flag("lab", wrong[0], kind="wrong_verdict", author="anna")
    lab.run("rationalize.enabled=false", until="select")
    assert lab.rows(REASONS) == before
    outputs = "select count(*), count(distinct output_digest) from stage_runs where stage = 'select'"
    assert lab.rows(outputs) == [(2, 1)]


@pytest.mark.slow
def test_select_reuse_all_trains_on_the_rows_of_earlier_rounds_once(lab: Lab) -> None:
    lab.says("p1", [right(2)])
    lab.says("p2", [right(4)], origin="rationalized")
    for reuse, name in (("all", "reuse"), ("0", "fresh")):
        lab.run("rounds=2", "generate.problems=3", f"select.reuse_rounds={reuse}", name=name)
    rows = lab.rows(
        "select experiment, count(*), count(*) filter (from_round = 1), count(distinct problem_id) "
        "from training_rows where round = 2 and not superseded group by 1 order by 1"
    )
    reused = {experiment: (count, distinct) for experiment, count, _, distinct in rows}
    kept = dict(lab.rows("select experiment, count(*) from training_rows where round = 1 group by 1"))
    assert all(count == distinct for count, distinct in reused.values())
    assert reused.get("reuse", (0, 0))[0] >= kept["reuse"]
    assert all(earlier == 0 for experiment, _, earlier, _ in rows if experiment == "fresh")
