"""Our graders beside math-verify and beside known verdicts: `python -m benchmarks.graders [DATA_FOLDER]`.

One command prints every table. Speed: both sides on the same distinct pairs, with the same number of
processes and cold caches, charged their processor seconds; math-verify is not charged for its imports,
ours is, where a worker starts. Then agreement with the known verdicts of each file and every disagreement
with its reason, what the quality graders flag, and the pathological inputs. Exits with 1 where a wrong
answer was accepted or a disagreement has no explanation.
"""

from __future__ import annotations

import collections
import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.graders.agreement import SUITES, agreement
from benchmarks.graders.hostile import pathological
from benchmarks.graders.stress import stress_pairs
from pipeline.graders import build_grader, open_grading, parse_config
from pipeline.records import GradeItem, Verdict

WORKERS = 2
ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "grading_dev"
WANTED = {
    "GSM8K solutions, full text": 30,
    "MATH outputs, full text": 6,
    "stress: not numeric, half wrong": 6,
}
QUALITY = ("hint_leak", "false_equation", "unsupported_final_number", "answer_before_derivation")


def main() -> int:
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA
    rows = {name: read(data / f"{name}.jsonl") for name in SUITES}
    # Its verdicts are on the reasoning; all of its final answers are right, and those are compared.
    rows["false_positive_rationales"] = [
        {**row, "expected": True} for row in rows["false_positive_rationales"]
    ]
    gsm8k, real = (
        rows["gsm8k_model_solutions"],
        rows["math_outputs_labelled"] + rows["false_positive_rationales"],
    )
    sets = {
        "GSM8K solutions, full text": [(row["gold"], row["candidate"]) for row in gsm8k],
        "MATH outputs, full text": [(row["gold"], row["candidate"]) for row in real],
        "stress: not numeric, half wrong": stress_pairs(),
    }
    speed({name: list(dict.fromkeys(pairs)) for name, pairs in sets.items() if pairs})
    good = agreement(rows, WORKERS)
    quality(gsm8k)
    return 0 if pathological(WORKERS) and good else 1


def read(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSONL file; none where it is absent."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def speed(sets: dict[str, list[tuple[str, str]]]) -> None:
    """The table of processor time per row."""
    print(f"## Speed ({WORKERS} processes)\n")
    print(
        "| pairs | rows | ours: CPU us/row | rows/s | math-verify: CPU us/row | rows/s | "
        "CPU ratio | wanted | decided by |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name, pairs in sets.items():
        ours_cpu, ours_wall, verdicts = grade_ours(pairs)
        theirs_cpu, theirs_wall = grade_theirs(pairs)
        count = len(pairs)
        paths = collections.Counter(path_of(verdict) for verdict in verdicts)
        shares = ", ".join(f"{path} {number / count:.1%}" for path, number in paths.most_common())
        print(
            f"| {name} | {count:,} | {ours_cpu / count * 1e6:,.0f} | {count / ours_wall:,.0f} | "
            f"{theirs_cpu / count * 1e6:,.0f} | {count / theirs_wall:,.0f} | "
            f"{theirs_cpu / ours_cpu:.0f}x | {WANTED[name]}x | {shares} |",
            flush=True,
        )


def grade_ours(pairs: Sequence[tuple[str, str]]) -> tuple[float, float, list[Verdict]]:
    """Processor and wall seconds, worker processes and their start included."""
    before, started = used(), time.monotonic()
    with open_grading(parse_config({"type": "math"}), WORKERS) as grading:
        verdicts = list(grading.grade(GradeItem(str(n), gold, text) for n, (gold, text) in enumerate(pairs)))
    return used() - before, time.monotonic() - started, verdicts


def used() -> float:
    """Processor seconds of this process and its ended children."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def grade_theirs(pairs: Sequence[tuple[str, str]]) -> tuple[float, float]:
    """Processor and wall seconds of math-verify on each row, in as many processes; imports not counted."""
    processes = []
    for part in range(WORKERS):
        command = [sys.executable, "-m", "benchmarks.graders.theirs"]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(pairs[part::WORKERS]))
        process.stdin.close()
        processes.append(process)
    results = []
    for process in processes:
        assert process.stdout is not None
        results.append(json.loads(process.stdout.read()))
        process.wait()
    return sum(result["cpu"] for result in results), max(result["wall"] for result in results)


def path_of(verdict: Verdict) -> str:
    """Which path decided, by the verdict's reason."""
    if verdict.reason in {"exact", "no_answer", "different"}:
        return "exact"
    slow = {"symbolic", "symbolically_different", "unparseable_answer", "timeout", "crashed", "memory"}
    return (
        "math-verify" if verdict.reason in slow or verdict.reason.endswith("_disbelieved") else "comparison"
    )


def quality(rows: Sequence[dict[str, Any]]) -> None:
    """How often each quality grader flags right and wrong solutions."""
    if not rows:
        return
    print(
        "\n## Quality graders on GSM8K solutions: share flagged\n\n"
        "| grader | right answers | wrong answers |\n|---|---|---|"
    )
    for kind in QUALITY:
        grader = build_grader(parse_config({"type": kind, "phase": "all"}))
        shares = []
        for expected in (True, False):
            chosen = [row for row in rows if row["expected"] is expected]
            found = [grader.inline(GradeItem("", row["gold"], row["candidate"])) for row in chosen]
            shares.append(sum(isinstance(one, Verdict) and one.score == 0 for one in found) / len(chosen))
        print(f"| {kind} | {shares[0]:.1%} | {shares[1]:.1%} |")


sys.exit(main())
