"""What is meant to hang, flood or crash a grader of mathematics costs its own seconds and nothing else."""

import sys
from pathlib import Path

import psutil
import pytest

from pipeline.graders import open_grading, parse_config
from pipeline.records import GradeItem, Outcome

sys.path.insert(0, str(Path(__file__).parent))

from pathological import REALLY_EQUAL, pairs

MEMORY_LIMIT = 2 << 30


@pytest.mark.slow
def test_pathological_inputs_are_answered_and_the_pool_lives_on() -> None:
    hostile = pairs()
    assert len(hostile) >= 80
    config = parse_config({"type": "math", "extract": ["whole"], "max_chars": 200_000})
    items = (GradeItem(str(number), gold, answer) for number, (gold, answer) in enumerate(hostile))
    largest = 0
    with open_grading(config, 2) as grading:
        verdicts = []
        for verdict in grading.grade(items):
            verdicts.append(verdict)
            largest = max([largest, *(psutil.Process(pid).memory_info().rss for pid in grading.processes)])
        [after] = grading.grade([GradeItem("after", "\\int_0^1 2x dx", "1")])
    assert [verdict.key for verdict in verdicts] == [str(number) for number in range(len(hostile))]
    assert largest < MEMORY_LIMIT
    accepted = {hostile[int(verdict.key)] for verdict in verdicts if verdict.outcome is Outcome.CORRECT}
    assert accepted <= REALLY_EQUAL
    assert after.outcome is Outcome.CORRECT
