"""Worker processes: what they may see, what happens when they die, and that they die with their parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.config.graders import MathGrader
from pipeline.errors import StarError
from pipeline.graders import open_grading, parse_config
from pipeline.graders.pool import Pool, Ticket
from pipeline.graders.protocol import Job
from pipeline.records import GradeItem, Outcome

INTEGRAL = Job({"gold": "\\int_0^1 2x dx", "answer": "1"}, "", "1", 20.0)


def pool(workers: int = 1) -> Pool:
    return Pool(MathGrader().model_dump(mode="json"), workers=workers, memory_mb=1536, backlog=1)


def finish(workers: Pool, *tickets: Ticket) -> None:
    deadline = time.monotonic() + 120
    while any(ticket.verdict is None for ticket in tickets):
        assert time.monotonic() < deadline
        workers.poll(0.2)


def test_pool_worker_sees_only_listed_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "do not pass on")
    workers = pool()
    try:
        ticket = workers.submit(INTEGRAL)
        [pid] = workers.processes
        finish(workers, ticket)  # before that the process may be on its way into the new program
        names = {
            entry.split(b"=")[0].decode()
            for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            if entry
        }
    finally:
        workers.close()
    assert "PATH" in names
    assert not {"SECRET_TOKEN", "HOME", "STAR_HOME"} & names


def test_pool_killed_worker_costs_one_job_and_is_replaced() -> None:
    workers = pool()
    try:
        first = workers.submit(INTEGRAL)
        finish(workers, first)
        [pid] = workers.processes
        tickets = [workers.submit(INTEGRAL) for _ in range(5)]
        os.kill(pid, signal.SIGKILL)
        finish(workers, *tickets)
        verdicts = [ticket.verdict for ticket in tickets if ticket.verdict is not None]
        assert workers.processes != [pid]
    finally:
        workers.close()
    crashed = [verdict for verdict in verdicts if verdict.reason == "crashed"]
    assert len(crashed) <= 1
    assert sum(verdict.outcome is Outcome.CORRECT for verdict in verdicts) == 5 - len(crashed)


def test_pool_memory_hungry_job_is_ungraded_and_the_next_one_graded() -> None:
    workers = Pool(MathGrader().model_dump(mode="json"), workers=1, memory_mb=700, backlog=1)
    hungry = Job(
        {"gold": "\\int_0^1 " + "+".join(f"x^{{{n}}}" for n in range(9)) + " dx", "answer": "10^{10^{10}}!"},
        "",
        None,
        20.0,
    )
    try:
        tickets = [workers.submit(hungry), workers.submit(INTEGRAL)]
        finish(workers, *tickets)
    finally:
        workers.close()
    outcomes = [ticket.verdict.outcome for ticket in tickets if ticket.verdict is not None]
    assert outcomes[0] is not Outcome.CORRECT
    assert outcomes[1] is Outcome.CORRECT


def test_pool_that_cannot_start_says_why() -> None:
    workers = Pool({"type": "math", "units": "furlongs"}, workers=1, memory_mb=1536, backlog=1)
    try:
        workers.submit(INTEGRAL)
        with pytest.raises(StarError, match="does not start"):
            for _ in range(1000):
                workers.poll(0.2)
        assert workers.processes == []
    finally:
        workers.close()


PARENT = """
import os, signal, sys
from pipeline.graders import open_grading, parse_config
from pipeline.records import GradeItem
grading = open_grading(parse_config({"type": "math"}), 1)
list(grading.grade([GradeItem("", "\\\\int_0^1 2x dx", "1")]))
print(grading.processes[0], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_pool_workers_die_with_a_killed_parent() -> None:
    ran = subprocess.run([sys.executable, "-c", PARENT], capture_output=True, text=True, timeout=120)
    pid = int(ran.stdout)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and Path(f"/proc/{pid}").exists():
        if " Z " in Path(f"/proc/{pid}/stat").read_text():
            break
        time.sleep(0.1)
    assert not Path(f"/proc/{pid}").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text()


def test_pool_abandoned_generator_leaves_the_session_usable() -> None:
    slow = [GradeItem(str(n), f"\\int_0^{n} 2x dx", f"{n}^2 + 0") for n in range(1, 40)]
    with open_grading(parse_config({"type": "math"}), 1) as grading:
        verdicts = grading.grade(iter(slow))
        next(verdicts)
        verdicts.close()
        [again] = grading.grade([GradeItem("x", "\\int_0^1 2x dx", "1")])
    assert (again.key, again.outcome) == ("x", Outcome.CORRECT)
