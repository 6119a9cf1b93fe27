"""Inputs that are meant to hang, flood or crash a grader: how long each took, and in what memory."""

from __future__ import annotations

import collections
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import psutil

from pipeline.graders import open_grading, parse_config
from pipeline.records import GradeItem, Outcome

INPUTS = Path(__file__).resolve().parents[2] / "tests" / "graders"
LONGEST_S, MOST_MIB = 5.0, 2048


def pathological(workers: int) -> bool:
    """With gmpy2 and without: whether memory held, the pool lived on, and only equal pairs passed in both."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "gmpy2.py").write_text("raise ImportError")  # SymPy and mpmath then do without
        path = os.environ.get("PYTHONPATH", "")
        os.environ["PYTHONPATH"] = os.pathsep.join(
            filter(None, [folder, path])
        )  # only workers started later see it
        without = _pathological(workers, "without")
        os.environ["PYTHONPATH"] = path
    return _pathological(workers, "with") and without


def _pathological(workers: int, gmpy2: str) -> bool:
    """Print what came of them."""
    sys.path.insert(0, str(INPUTS))
    from pathological import REALLY_EQUAL, pairs  # type: ignore[import-not-found]

    config = parse_config({"type": "math", "extract": ["whole"], "max_chars": 200_000})
    hostile = pairs()
    started, largest = time.monotonic(), 0.0
    with open_grading(config, workers) as grading:
        verdicts = []
        for verdict in grading.grade(GradeItem(str(n), *pair) for n, pair in enumerate(hostile)):
            verdicts.append(verdict)
            largest = max([largest, *(psutil.Process(pid).memory_info().rss for pid in grading.processes)])
        [after] = grading.grade([GradeItem("after", "\\int_0^1 2x dx", "1")])
    ended = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    memory = max(largest / 2**20, ended)
    times = sorted(verdict.elapsed_ms / 1e3 for verdict in verdicts)
    wrong = [pair for pair, one in zip(hostile, verdicts, strict=True) if one.outcome is Outcome.CORRECT]
    wrong = [pair for pair in wrong if pair not in REALLY_EQUAL]
    reasons = collections.Counter(f"{verdict.outcome.value} ({verdict.reason})" for verdict in verdicts)
    print(f"\n## {len(hostile)} pathological inputs, {gmpy2} gmpy2, load {os.getloadavg()[0]:.1f}\n")
    columns = (
        "answered | median s | slowest s | over 5 s | largest process MiB | accepted wrongly | pool after"
    )
    print(f"| {columns} |\n|---|---|---|---|---|---|---|")
    print(
        f"| {len(verdicts)} of {len(hostile)} | {times[len(times) // 2]:.3f} | {times[-1]:.1f} | "
        f"{sum(one > LONGEST_S for one in times)} | {memory:,.0f} | {len(wrong)} | {after.outcome.value} |"
    )
    told = ", ".join(f"{number} {what}" for what, number in reasons.most_common())
    print(f"\nAll in {time.monotonic() - started:.0f} s: {told}")
    return memory < MOST_MIB and not wrong and after.outcome is Outcome.CORRECT
