"""The known verdicts of public suites, where they are present: no wrong accept, and the wrong rejects are listed."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.graders import open_grading, parse_config, sandbox
from pipeline.records import GradeItem, Outcome

ANY_MATH = {"preset": "math_verify"}
SUITES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "gsm8k_model_solutions": ({"preset": "gsm8k"}, set()),
    "math_outputs_labelled": ({"type": "math"}, set()),
    # 00128 counts 0.33 as 1/3 (two digits); 00137 states its answer in prose, after other mathematics.
    "math_verify_tests": (ANY_MATH, {"math_verify_tests-00128", "math_verify_tests-00137"}),
    # Prose in other languages, or with a stray dollar sign.
    "lighteval_math": (ANY_MATH, {"lighteval_math-00020", "lighteval_math-00023"}),
    "hendrycks_math_equivalence": ({"type": "math"}, set()),
    "nemo_skills_math_equal": ({"type": "math"}, set()),
    "small_math_suites": ({"type": "math"}, set()),
    "multiple_choice": ({"type": "choice"}, set()),
    "string_match_open_instruct": ({"preset": "puzzle"}, set()),
    "ifeval_unit_tests": ({"preset": "ifeval"}, set()),
    # Python's regular expressions have no \\p{Letter}: ungraded.
    "json_schema_suite": ({"type": "json_schema"}, {"json_schema_suite-00680"}),
    "code_humanevalpack": ({"preset": "humaneval"}, set()),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SUITES)
def test_known_verdicts_are_reproduced(shared_data: Path, name: str) -> None:
    path = shared_data / "grading_dev" / f"{name}.jsonl"
    if not path.is_file():
        pytest.skip(f"no {path}")
    if name.startswith("code") and sandbox.refusal() is not None:
        pytest.skip(str(sandbox.refusal()))
    options, known = SUITES[name]
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        draft = row["note"].partition("draft=")[2].partition(";")[0] if name == "json_schema_suite" else ""
        groups.setdefault(draft, []).append(row)
    accepted: set[str] = set()
    for draft, group in groups.items():
        config = parse_config({**options, **({"draft": draft} if draft else {})})
        with open_grading(config, 2) as grading:
            items = (GradeItem(row["id"], row["gold"], row["candidate"]) for row in group)
            accepted |= {
                verdict.key for verdict in grading.grade(items) if verdict.outcome is Outcome.CORRECT
            }
    expected = {row["id"] for row in rows if row["expected"]}
    assert accepted - expected == set()
    assert expected - accepted <= known
