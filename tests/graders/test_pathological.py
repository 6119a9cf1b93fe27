"""What is meant to hang, flood or crash a grader of mathematics costs its own seconds and nothing else."""

import os
import resource
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
@pytest.mark.parametrize("integers", ["python", "gmpy2"])
def test_pathological_inputs_are_answered_and_the_pool_lives_on(
    integers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With gmpy2 the arithmetic of huge integers can be interrupted by nothing but a kill.

    SymPy and mpmath take it up where it can be imported, so for the other half it is hidden from the workers.
    """
    with_gmpy2 = integers == "gmpy2"
    if not with_gmpy2:
        (tmp_path / "gmpy2.py").write_text("raise ImportError")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    hostile = pairs()
    assert len(hostile) >= 80
    config = parse_config({"type": "math", "extract": ["whole"], "max_chars": 200_000})
    items = (GradeItem(str(number), gold, answer) for number, (gold, answer) in enumerate(hostile))
    before, largest = _largest_child(), 0
    with open_grading(config, 2) as grading:
        verdicts = []
        for verdict in grading.grade(items):
            verdicts.append(verdict)
            largest = max([largest, *map(_memory, grading.processes)])
        [after] = grading.grade([GradeItem("after", "\\int_0^1 2x dx", "1")])
        mapped = [Path(f"/proc/{pid}/maps").read_text() for pid in grading.processes]
    assert [verdict.key for verdict in verdicts] == [str(number) for number in range(len(hostile))]
    ended = _largest_child()  # a worker that was killed, unless other tests had larger children before
    assert max(largest, ended if ended > before else 0) < MEMORY_LIMIT
    assert all(("gmpy2" in maps) is with_gmpy2 for maps in mapped)
    accepted = {hostile[int(verdict.key)] for verdict in verdicts if verdict.outcome is Outcome.CORRECT}
    assert accepted <= REALLY_EQUAL
    assert after.outcome is Outcome.CORRECT


def _largest_child() -> int:
    """Bytes of the largest child that has ended."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def _memory(pid: int) -> int:
    """Bytes of a worker, 0 where it has just been killed."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
