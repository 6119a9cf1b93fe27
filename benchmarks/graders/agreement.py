"""Agreement with cases whose verdicts their sources state, and why each disagreement is one."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import Any

from pipeline.graders import open_grading, parse_config, sandbox
from pipeline.records import GradeItem, Outcome, Verdict

ANY_MATH = {"preset": "math_verify"}
SUITES: dict[str, dict[str, Any]] = {
    "gsm8k_model_solutions": {"type": "math"},
    "math_outputs_labelled": {"type": "math"},
    "false_positive_rationales": {"type": "math"},
    "math_verify_tests": ANY_MATH,
    "lighteval_math": ANY_MATH,
    "hendrycks_math_equivalence": {"type": "math"},
    "nemo_skills_math_equal": {"type": "math"},
    "small_math_suites": {"type": "math"},
    "multiple_choice": {"type": "choice"},
    "string_match_open_instruct": {"preset": "puzzle"},
    "ifeval_unit_tests": {"preset": "ifeval"},
    "json_schema_suite": {"type": "json_schema"},
    "code_humanevalpack": {"preset": "humaneval"},
    "code_quixbugs": {"type": "code", "timeout_s": 10},
}
EXPLAINED = {
    "math_verify_tests-00128": "policy: 0.33 is no 1/3, `decimals: rounded` asks for four digits",
    "math_verify_tests-00137": "the answer stands in prose, and other mathematics after it",
    "lighteval_math-00020": "the answer stands in Hindi prose: no box, marker or known phrase",
    "lighteval_math-00023": "prose around a number, from a stray dollar sign",
    "json_schema_suite-00680": "Python's `re` knows no `\\p{Letter}`: ungraded, which is not wrong",
    "code_quixbugs-00027": "the reference program takes exponential time, beyond `timeout_s`",
    "code_quixbugs-00055": "its floats differ from the expected ones in the last digits; equality is exact",
}


def agreement(rows: dict[str, list[dict[str, Any]]], workers: int) -> bool:
    """Print the table and the disagreements; whether no wrong answer was accepted and all are explained."""
    print("\n## Agreement with known verdicts\n")
    print("| file | cases | agree | false accepts | false rejects | ungraded |\n|---|---|---|---|---|---|")
    disagreements: list[tuple[dict[str, Any], Verdict]] = []
    total: collections.Counter[str] = collections.Counter()
    for name, cases in rows.items():
        refusal = sandbox.refusal() if name.startswith("code") else None
        if not cases or refusal:
            print(f"| {name} | {refusal or 'absent'} | | | | |")
            continue
        counts, differing = _compare(cases, graded(name, cases, workers))
        disagreements += differing
        total.update(counts)
        print(_row(name, counts), flush=True)
    print(_row("all", total))
    print("\nDisagreements:\n")
    for row, verdict in disagreements:
        gold, answer = (
            repr(text)[:80] for text in (row["gold"][-70:], verdict.answer or row["candidate"][-70:])
        )
        print(
            f"- `{row['id']}`: expected {row['expected']}, {verdict.outcome.value} ({verdict.reason}): "
            f"{EXPLAINED.get(row['id'], 'NOT EXPLAINED')}. Gold {gold}, answer {answer}"
        )
    return total["accept"] == 0 and all(row["id"] in EXPLAINED for row, _ in disagreements)


def _compare(
    cases: Sequence[dict[str, Any]], verdicts: dict[str, Verdict]
) -> tuple[collections.Counter[str], list[tuple[dict[str, Any], Verdict]]]:
    counts: collections.Counter[str] = collections.Counter(cases=len(cases))
    differing = []
    for row in cases:
        verdict = verdicts[row["id"]]
        accepted = verdict.outcome is Outcome.CORRECT
        counts["ungraded"] += verdict.outcome is Outcome.UNGRADED
        if accepted == row["expected"]:
            counts["agree"] += 1
        else:
            counts["accept" if accepted else "reject"] += 1
            differing.append((row, verdict))
    return counts, differing


def _row(name: str, counts: collections.Counter[str]) -> str:
    return (
        f"| {name} | "
        + " | ".join(f"{counts[key]:,}" for key in ("cases", "agree", "accept", "reject", "ungraded"))
        + " |"
    )


def graded(name: str, cases: Sequence[dict[str, Any]], workers: int) -> dict[str, Verdict]:
    """Verdicts by case id; JSON schema cases by the draft that their note names."""
    groups: dict[str, list[dict[str, Any]]] = collections.defaultdict(list)
    for row in cases:
        draft = row["note"].partition("draft=")[2].partition(";")[0] if name == "json_schema_suite" else ""
        groups[draft].append(row)
    verdicts: dict[str, Verdict] = {}
    for draft, group in groups.items():
        options = {**SUITES[name], **({"draft": draft} if draft else {})}
        with open_grading(parse_config(options), workers) as grading:
            items = (GradeItem(row["id"], row["gold"], row["candidate"]) for row in group)
            verdicts.update({verdict.key: verdict for verdict in grading.grade(items)})
    return verdicts
