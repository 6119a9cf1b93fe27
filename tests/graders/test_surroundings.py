"""Grading where it is not at home: as another user, in a daemon's thread, with no standard streams."""

import json
import os
import subprocess
import sys
import sysconfig
from functools import lru_cache
from pathlib import Path

import pytest

from pipeline.graders import sandbox

NOBODY = 65_534
ROOT = Path(__file__).resolve().parents[2]

GRADE = """
import json, os, sys, threading
from pipeline.graders import open_grading, parse_config, sandbox
from pipeline.records import GradeItem

def grade(config, *pairs):
    with open_grading(parse_config(config), 2) as grading:
        verdicts = list(grading.grade(GradeItem(str(n), *pair) for n, pair in enumerate(pairs)))
        pids = grading.processes
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids), pids
    return [[verdict.outcome.value, verdict.reason] for verdict in verdicts]

INTEGRALS = [("\\\\int_0^1 2x dx", "1"), ("\\\\int_0^1 2x dx", "2"), ("\\\\int_0^2 2x dx", "4")]
"""

AS_NOBODY = (
    GRADE
    + """
CASES = json.dumps({"entry_point": "add", "cases": [[[1, 2], 3], [[2, 2], 4]]})
PROGRAMS = json.loads(sys.argv[1])
said = {"uid": os.geteuid(), "math": grade({"type": "math"}, *INTEGRALS), "refusal": sandbox.refusal()}
if said["refusal"] is None:
    code = {"type": "code", "timeout_s": 3, "memory_mb": 256}
    said["code"] = grade(code, *[(CASES, program) for program in PROGRAMS])
    check = "def check(response, item):\\n    return len(response) > item['least']\\n"
    checks = [{"id": "long", "source": check, "kwargs": {"least": 3}}]
    said["constraints"] = grade({"type": "constraints", "checks": checks}, ("", "four"), ("", "six"[:2]))
print(json.dumps(said))
"""
)
PROGRAMS = {
    "right": "def add(a, b):\n    return a + b\n",
    "wrong": "def add(a, b):\n    return 3\n",
    "exit": "import os\nos._exit(0)\n",
    "fork bomb": "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass\n",
    "memory": "x = bytearray(3 << 30)\ndef add(a, b):\n    return a + b\n",
    "network": "import socket\nsocket.create_connection(('127.0.0.1', 1), 1)\ndef add(a, b):\n    return a + b\n",
    "grader's files": "import glob\nassert glob.glob('/proc/1/cwd/pipeline/*')\ndef add(a, b):\n    return a + b\n",
    "kill all": "import os, signal\nos.kill(-1, signal.SIGKILL)\n",
}


@lru_cache(maxsize=1)
def nobodys_python() -> list[str] | None:
    """An interpreter that NOBODY may run and that finds our libraries: ours, or the system's of the same version."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        try:
            tried = run_as_nobody([candidate], "import math_verify, pydantic, pipeline.graders")
        except OSError:
            continue
        if tried.returncode == 0:
            return [candidate]
    return None


def run_as_nobody(python: list[str], code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")])
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [*python, "-c", code, *arguments],
        user=NOBODY, group=NOBODY, extra_groups=[], cwd="/", env=environment,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


@pytest.mark.slow
def test_grading_runs_as_a_user_without_privileges() -> None:
    if os.geteuid() != 0:
        pytest.skip("not root: every other test of the graders already runs without privileges")
    python = nobodys_python()
    if python is None:
        pytest.skip(f"no interpreter that uid {NOBODY} may run finds the checkout and its libraries")
    ran = run_as_nobody(python, AS_NOBODY, json.dumps(list(PROGRAMS.values())))
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    assert said["uid"] == NOBODY
    assert [outcome for outcome, _ in said["math"]] == ["correct", "wrong", "correct"]
    if said["refusal"] is not None:
        pytest.skip(f"the pool runs; code was refused: {said['refusal']}")
    outcomes = {name: outcome for name, (outcome, _) in zip(PROGRAMS, said["code"], strict=True)}
    assert outcomes == {name: "correct" if name == "right" else "wrong" for name in PROGRAMS}
    assert [outcome for outcome, _ in said["constraints"]] == ["correct", "wrong"]


DAEMON = (
    GRADE
    + """
import multiprocessing, signal

def work(path):
    assert multiprocessing.current_process().daemon
    for number in (0, 1, 2):
        os.close(number)
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    signal.signal(signal.SIGALRM, lambda number, frame: None)
    said = {}
    def grade_in_a_thread():
        said["math"] = grade({"type": "math"}, *INTEGRALS, ("1", "9^{9^{9^9}}-1"))
        if sandbox.refusal() is None:
            said["code"] = grade({"type": "python", "source": "def grade(sample, item):\\n    return 1.0\\n"}, ("", "x"))
    thread = threading.Thread(target=grade_in_a_thread, daemon=True)
    signal.alarm(100)
    thread.start()
    thread.join(200)
    said["alarm"] = signal.alarm(0)
    with open(path, "w") as file:
        json.dump(said, file)

if __name__ == "__main__":
    started = multiprocessing.get_context("fork").Process(target=work, args=(sys.argv[1],), daemon=True)
    started.start()
    started.join(250)
"""
)


def test_grading_runs_in_a_thread_of_a_daemonic_process_without_standard_streams(tmp_path: Path) -> None:
    """As under Airflow, whose tasks are such processes; the caller's alarm is left alone."""
    script, told = tmp_path / "daemon.py", tmp_path / "said.json"
    script.write_text(DAEMON)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, str(script), str(told)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, env=environment,
    )  # fmt: skip
    assert told.is_file(), ran.stderr
    said = json.loads(told.read_text())
    outcomes = [outcome for outcome, _ in said["math"]]
    assert outcomes[:3] == ["correct", "wrong", "correct"] and outcomes[3] != "correct"
    assert said["alarm"] > 0
    assert said.get("code", [["correct", "score"]]) == [["correct", "score"]]
    assert "code" in said or sandbox.refusal() is not None


TELL = (
    GRADE
    + """
with open(sys.argv[1], "w") as file:
    json.dump(grade({"type": "math"}, *INTEGRALS), file)
"""
)


def test_grading_runs_where_the_parent_ignores_its_children(tmp_path: Path) -> None:
    """Some daemons ignore SIGCHLD, so that the kernel reaps their children: exit codes are lost, nothing else."""
    told = tmp_path / "said.json"
    code = "import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n" + TELL
    ran = subprocess.run(
        [sys.executable, "-c", code, str(told)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert [outcome for outcome, _ in json.loads(told.read_text())] == ["correct", "wrong", "correct"]
