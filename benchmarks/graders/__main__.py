"""Our math grader beside math-verify called on each row: `python -m benchmarks.graders [DATA_FOLDER]`.

Both sides run in one command, on the same pairs, with the same number of processes and cold caches, and are
charged their processor seconds. math-verify is not charged for its imports; ours is, where a worker starts.
Then: agreement with the known verdicts of each file and every disagreement, what the quality graders flag,
and the pathological inputs.
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

from benchmarks.graders.stress import stress_pairs
from pipeline.graders import build_grader, open_grading, parse_config
from pipeline.records import GradeItem, Outcome, Verdict

WORKERS = 2
ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "grading_dev"
ANY_MATH = {"preset": "math_verify"}
SUITES: dict[str, dict[str, Any]] = {
    "gsm8k_model_solutions": {"type": "math"},
    "math_outputs_labelled": {"type": "math"},
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
QUALITY = ("hint_leak", "false_equation", "unsupported_final_number", "answer_before_derivation")


def main() -> None:
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA
    rows = {name: read(data / f"{name}.jsonl") for name in SUITES}
    real = rows["math_outputs_labelled"] + read(data / "false_positive_rationales.jsonl")
    sets = {
        "GSM8K solutions, full text": [
            (row["gold"], row["candidate"]) for row in rows["gsm8k_model_solutions"]
        ],
        "MATH outputs, full text": list(dict.fromkeys((row["gold"], row["candidate"]) for row in real)),
        "stress: not numeric, half wrong": stress_pairs(),
    }
    speed({name: pairs for name, pairs in sets.items() if pairs})
    agreement(rows)
    quality(rows["gsm8k_model_solutions"])
    pathological()


def read(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSONL file; none where it is absent."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def speed(sets: dict[str, list[tuple[str, str]]]) -> None:
    """The table of processor time per row."""
    print(f"## Speed ({WORKERS} processes)\n")
    print(
        "| pairs | rows | ours: CPU us/row | rows/s | math-verify: CPU us/row | rows/s | "
        "CPU ratio | decided by |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, pairs in sets.items():
        ours_cpu, ours_wall, verdicts = grade_ours(pairs)
        theirs_cpu, theirs_wall = grade_theirs(pairs)
        count = len(pairs)
        paths = collections.Counter(path_of(verdict) for verdict in verdicts)
        shares = ", ".join(f"{path} {number / count:.1%}" for path, number in paths.most_common())
        print(
            f"| {name} | {count:,} | {ours_cpu / count * 1e6:,.0f} | {count / ours_wall:,.0f} | "
            f"{theirs_cpu / count * 1e6:,.0f} | {count / theirs_wall:,.0f} | "
            f"{theirs_cpu / ours_cpu:.0f}x | {shares} |",
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


def agreement(rows: dict[str, list[dict[str, Any]]]) -> None:
    """Known verdicts against ours, file by file."""
    print(
        "\n## Agreement with known verdicts\n\n"
        "| file | cases | agree | false accepts | false rejects | ungraded |"
    )
    print("|---|---|---|---|---|---|")
    disagreements = []
    for name, cases in rows.items():
        if not cases:
            continue
        verdicts = graded(name, cases)
        counts: collections.Counter[str] = collections.Counter()
        for row in cases:
            verdict = verdicts[row["id"]]
            accepted = verdict.outcome is Outcome.CORRECT
            counts["ungraded"] += verdict.outcome is Outcome.UNGRADED
            if accepted == row["expected"]:
                counts["agree"] += 1
                continue
            counts["accept" if accepted else "reject"] += 1
            disagreements.append((row, verdict))
        shown = " | ".join(str(counts[key]) for key in ("agree", "accept", "reject", "ungraded"))
        print(f"| {name} | {len(cases)} | {shown} |", flush=True)
    print("\nDisagreements:\n")
    for row, verdict in disagreements:
        gold, answer = (
            repr(text)[:80] for text in (row["gold"][-70:], verdict.answer or row["candidate"][-70:])
        )
        print(
            f"- `{row['id']}`: expected {row['expected']}, {verdict.outcome.value} "
            f"({verdict.reason}); {gold} / {answer}"
        )


def graded(name: str, cases: Sequence[dict[str, Any]]) -> dict[str, Verdict]:
    """Verdicts by case id; JSON schema cases by the draft that their note names."""
    groups: dict[str, list[dict[str, Any]]] = collections.defaultdict(list)
    for row in cases:
        draft = row["note"].partition("draft=")[2].partition(";")[0] if name == "json_schema_suite" else ""
        groups[draft].append(row)
    verdicts: dict[str, Verdict] = {}
    for draft, group in groups.items():
        options = {**SUITES[name], **({"draft": draft} if draft else {})}
        with open_grading(parse_config(options), WORKERS) as grading:
            items = (GradeItem(row["id"], row["gold"], row["candidate"]) for row in group)
            verdicts.update({verdict.key: verdict for verdict in grading.grade(items)})
    return verdicts


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


def pathological() -> None:
    """Seconds and outcomes on inputs that are meant to hang or crash a grader."""
    sys.path.insert(0, str(ROOT / "tests" / "graders"))
    from pathological import pairs  # type: ignore[import-not-found]

    config = parse_config({"type": "math", "extract": ["whole"], "max_chars": 200_000})
    hostile = pairs()
    with open_grading(config, WORKERS) as grading:
        items = (GradeItem(str(number), gold, answer) for number, (gold, answer) in enumerate(hostile))
        verdicts = list(grading.grade(items))
        [after] = grading.grade([GradeItem("after", "\\int_0^1 2x dx", "1")])
    reasons = collections.Counter(f"{verdict.outcome.value} ({verdict.reason})" for verdict in verdicts)
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"\n## {len(hostile)} pathological inputs\n")
    print(
        f"slowest {max(verdict.elapsed_ms for verdict in verdicts) / 1e3:.1f} s; "
        f"largest process {memory:,.0f} MiB; ",
        end="",
    )
    print(
        f"one more afterwards: {after.outcome.value}; "
        + ", ".join(f"{n} {what}" for what, n in reasons.most_common())
    )


main()
