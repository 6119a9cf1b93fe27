"""What is meant to hang, flood or crash a grader of mathematics costs its own seconds and nothing else."""

import resource
import sys
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from pipeline.graders import open_grading, parse_config
from pipeline.records import GradeItem, Outcome

sys.path.insert(0, str(Path(__file__).parent))

from pathological import REALLY_EQUAL, pairs

MEMORY_LIMIT = 2 << 30

HOW_TO_GET_GMPY2 = (
    "`pip install --target build/gmpy2 gmpy2`, then run with PYTHONPATH=build/gmpy2 "
    "(SymPy and mpmath take it up where it is importable)"
)


@pytest.mark.slow
@pytest.mark.parametrize("integers", ["python", "gmpy2"])
def test_pathological_inputs_are_answered_and_the_pool_lives_on(integers: str) -> None:
    """With gmpy2 the arithmetic of huge integers can be interrupted by nothing but a kill."""
    installed = find_spec("gmpy2") is not None
    if installed != (integers == "gmpy2"):
        pytest.skip(f"gmpy2 is {'' if installed else 'not '}installed; with it: {HOW_TO_GET_GMPY2}")
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
    assert all(("gmpy2" in maps) is installed for maps in mapped)
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
