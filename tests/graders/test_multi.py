"""`multi`, formulas, presets, templates and the quality graders."""

from typing import Any

import pytest

from pipeline.errors import ConfigError
from pipeline.graders import build_grader, extract_answer, grader_digest, open_grading, parse_config
from pipeline.graders.formula import Formula
from pipeline.graders.templates import render
from pipeline.records import GradeItem, Origin, Outcome, Verdict

GRADER = {
    "type": "multi",
    "pass_threshold": 1.0,
    "graders": {
        "answer": {"type": "math", "extract": ["boxed", "hash4", "answer_is"]},
        "format": {"type": "constraints", "checks": [{"id": "punctuation:no_comma"}], "mode": "fraction"},
        "leak": {"type": "hint_leak"},
    },
    "calculate_output": "answer * leak * (0.9 + 0.1 * format)",
}


def verdict_of(data: dict[str, Any], response: str, gold: str = "5", **fields: Any) -> Verdict:
    with open_grading(parse_config(data), 1) as grading:
        [verdict] = grading.grade([GradeItem(key="k", answer=gold, response=response, **fields)])
    return verdict


def test_multi_keeps_every_subscore() -> None:
    verdict = verdict_of(GRADER, "2 + 3 = 5\n#### 5")
    assert (verdict.outcome, verdict.score, verdict.answer) == (Outcome.CORRECT, 1.0, "5")
    assert verdict.subscores == {
        "answer": 1.0,
        "format": 1.0,
        "format.punctuation:no_comma": 1.0,
        "leak": 1.0,
    }


def test_multi_score_below_the_threshold_is_wrong() -> None:
    verdict = verdict_of(GRADER, "Well, 2 + 3 = 5\n#### 5")
    assert (verdict.outcome, round(verdict.score, 6), verdict.reason) == (Outcome.WRONG, 0.9, "score_too_low")
    assert verdict_of({**GRADER, "pass_threshold": 0.9}, "Well, 2 + 3 = 5\n#### 5").outcome is Outcome.CORRECT


def test_multi_leak_counts_only_for_rationalized_attempts() -> None:
    text = "As the hint says 2 + 3 = 5\n#### 5"
    assert verdict_of(GRADER, text).outcome is Outcome.CORRECT
    verdict = verdict_of(GRADER, text, origin=Origin.RATIONALIZED)
    assert (verdict.outcome, verdict.reason) == (Outcome.WRONG, "leak_hint_leak")


def test_multi_zero_factor_spares_the_slow_part() -> None:
    data = {
        "type": "multi",
        "graders": {
            "answer": {"type": "math"},
            "valid": {"type": "json_schema", "json_schema": {"type": "object"}},
        },
        "calculate_output": "answer * valid",
    }
    with open_grading(parse_config(data), 1) as grading:
        [verdict] = grading.grade([GradeItem(key="k", answer="5", response="#### 6")])
        assert grading.processes == []
    assert (verdict.outcome, verdict.reason) == (Outcome.WRONG, "answer_different")


def test_multi_ungraded_part_leaves_the_item_ungraded() -> None:
    verdict = verdict_of(GRADER, "#### 5", gold="")
    assert (verdict.outcome, verdict.reason) == (Outcome.UNGRADED, "answer_unparseable_gold")


def test_multi_part_outside_the_formula_only_marks() -> None:
    data = {**GRADER, "calculate_output": "answer"}
    verdict = verdict_of(data, "As the hint says #### 5", origin=Origin.RATIONALIZED)
    assert verdict.outcome is Outcome.CORRECT
    assert verdict.subscores["leak"] == 0.0


@pytest.mark.parametrize(
    ("formula", "scores", "value"),
    [
        ("a * (0.9 + 0.1 * b)", {"a": 1, "b": 0}, 0.9),
        ("min(a, b) ** 2", {"a": 0.5, "b": 1}, 0.25),
        ("(a > 0.5) * b", {"a": 0.6, "b": 1}, 1.0),
        ("a ^ 2", {"a": 0.5, "b": 0}, 0.25),
        ("-a + 1", {"a": 1, "b": 0}, 0.0),
    ],
)
def test_formula_value(formula: str, scores: dict[str, float], value: float) -> None:
    assert Formula(formula, frozenset(scores)).value(scores) == pytest.approx(value)


@pytest.mark.parametrize(
    "formula", ["a / b", "exp(a * 1000)", "log(b)", "sqrt(b - a)", "(b - a) ** 0.5", "10 ** 400 * a"]
)
def test_formula_without_a_value_has_none(formula: str) -> None:
    assert Formula(formula, frozenset({"a", "b"})).value({"a": 1, "b": 0}) is None


@pytest.mark.parametrize(
    "formula",
    [
        "a + c", "__import__('os').system('x')", "a.__class__", "a[0]", "lambda: a", "a if b else 0", "a and b", "'a' * 9",
        "[a]", "a(1)", "open(a)", "min()", "max(a, key=b)", "a := 1", "a <  b < 1", "f'{a}'", "True", "", "a +", "9" * 2000,
    ],
)  # fmt: skip
def test_formula_outside_the_whitelist_is_refused(formula: str) -> None:
    with pytest.raises(ConfigError):
        Formula(formula, frozenset({"a", "b"}))


def test_multi_formula_without_a_value_leaves_the_item_ungraded() -> None:
    graders = {"answer": {"type": "math"}, "style": {"type": "string_check", "operation": "like"}}
    for formula in ("1 / (answer - 1)", "log(answer - style)", "exp(answer * 10000)"):
        data = {"type": "multi", "graders": graders, "calculate_output": formula}
        verdict = verdict_of(data, "\\boxed{5}")
        assert (verdict.outcome, verdict.reason) == (Outcome.UNGRADED, "formula_undefined")


def test_multi_part_outside_the_formula_that_fails_leaves_the_verdict_and_no_score() -> None:
    graders = {"answer": {"type": "math"}, "other": {"type": "numeric", "gold": "no number"}}
    data = {"type": "multi", "graders": graders, "calculate_output": "answer"}
    verdict = verdict_of(data, "\\boxed{5}")
    assert (verdict.outcome, verdict.subscores) == (Outcome.CORRECT, {"answer": 1.0})


def test_preset_stands_for_its_options_and_is_overridden() -> None:
    assert parse_config({"preset": "gsm8k"}).type == "math"
    changed = parse_config({"preset": "gsm8k", "percent": "strict"})
    assert (changed.type, getattr(changed, "percent", None)) == ("math", "strict")
    with pytest.raises(ConfigError, match="preset"):
        parse_config({"preset": "unknown"})


def test_template_value_is_not_expanded_again() -> None:
    item = GradeItem(
        key="", answer="5", response="{{item.answer}}", question="Q", item={"meta": {"level": 3}}
    )
    assert (
        render("{{ sample.output_text }} / {{item.meta.level}} / {{item.question}}", item)
        == "{{item.answer}} / 3 / Q"
    )
    with pytest.raises(ConfigError, match="nothing"):
        render("{{item.nothing}}", item)
    with pytest.raises(ConfigError, match="expected item"):
        render("{{secrets.key}}", item)


def test_grader_digest_covers_options_and_not_the_name() -> None:
    one = grader_digest(parse_config({"type": "math"}))
    assert one == grader_digest(parse_config({"type": "math", "name": "other"}))
    assert one != grader_digest(parse_config({"type": "math", "ordered": True}))


def test_extract_answer_of_a_multi_is_that_of_its_answering_part() -> None:
    assert extract_answer(parse_config(GRADER), "so #### 72", {}) == "72"


QUALITY = [
    ("false_equation", "2 + 3 = 5 and 4 * 2 = 8", 1.0),
    ("false_equation", "2 + 3 = 6", 0.0),
    ("false_equation", "10 / 3 = 3.33", 1.0),
    ("false_equation", "He pays $80,000 + $50,000 = $130,000", 1.0),
    ("false_equation", "He pays $80,000 + $50,000 = $120,000", 0.0),
    ("false_equation", "5 x 4 = <<5*4=20>>20", 1.0),
    ("false_equation", "x = 5 and y = 6", 1.0),
    ("false_equation", "She had 9 pink eggs * 1/3 = 3 eggs", 1.0),
    ("false_equation", "2 + 3 = 5 + 1 = 6", 1.0),
    ("unsupported_final_number", "2 + 3 = 5\n#### 5", 1.0),
    ("unsupported_final_number", "2 + 3 = 5\n#### 7", 0.0),
    ("unsupported_final_number", "It is clear.\n#### 7", 1.0),
    ("answer_before_derivation", "The answer is 5. We add two and three to see it.", 0.0),
    ("answer_before_derivation", "2 + 3 = 5. The answer is 5.", 1.0),
    ("min_new_content", "How many?", 0.0),
    ("min_new_content", "Two apples and three pears make five.", 1.0),
    ("hint_leak", "Given the hint (CORRECT), 5", 0.0),
]


@pytest.mark.parametrize(("kind", "text", "score"), QUALITY)
def test_quality_grader_scores(kind: str, text: str, score: float) -> None:
    grader = build_grader(parse_config({"type": kind, "phase": "all"}))
    verdict = grader.inline(GradeItem(key="", answer="5", response=text, question="How many?"))
    assert isinstance(verdict, Verdict)
    assert verdict.score == score
