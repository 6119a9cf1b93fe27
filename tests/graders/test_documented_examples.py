"""Every example of docs/graders.md says what the grader says."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.graders import open_grading, parse_config
from pipeline.records import GradeItem

DOC = Path(__file__).resolve().parents[2] / "docs" / "graders.md"
BLOCKS = [
    yaml.safe_load(block)
    for block in re.findall(r"^```yaml\n(.*?)^```", DOC.read_text(), re.DOTALL | re.MULTILINE)
]
EXAMPLES = [block for block in BLOCKS if "outcome" in block]


def _name(example: dict[str, Any]) -> str:
    grader = example["grader"]
    return str(grader.get("type") or grader["preset"])


@pytest.mark.parametrize("example", EXAMPLES, ids=_name)
def test_documented_example_has_the_documented_outcome(example: dict[str, Any]) -> None:
    program = example.get("needs")
    if program is not None and shutil.which(program) is None:
        pytest.skip(f"{program} is not installed; Debian: apt-get install bubblewrap")
    item = GradeItem(
        key="example",
        answer=example["gold"],
        response=example["response"],
        choices=example.get("choices", {}),
        item={"answer": example["gold"]},
    )
    with open_grading(parse_config(example["grader"]), 1) as grading:
        [verdict] = grading.grade([item])
    assert str(verdict.outcome) == example["outcome"], verdict


def test_documented_examples_cover_every_type_that_needs_no_server() -> None:
    shown = {_name(example) for example in EXAMPLES}
    assert {"math", "numeric", "string_check", "text_similarity", "code", "constraints"} <= shown
    assert {"json_schema", "python", "multi", "commonsenseqa", "gsm8k"} <= shown


def test_documented_judges_are_valid_graders() -> None:
    judges = [parse_config(block["judge"]) for block in BLOCKS if "judge" in block]
    assert [judge.type for judge in judges] == ["score_model", "label_model"]
