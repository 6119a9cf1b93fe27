"""`code`: programs against tests; hostile ones never pass and never harm."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.graders import build_grader, open_grading, parse_config, sandbox
from pipeline.records import GradeItem, Outcome, Verdict

if sandbox.refusal() is not None:
    pytest.skip(f"no sandbox: {sandbox.refusal()}", allow_module_level=True)

ADD = {"entry_point": "add", "cases": [[[1, 2], 3], [[0, 0], 0], [[-1, 1], 0], [[5, 5], 10]]}
CHECK = {"test": "def check(f):\n    assert f(1, 2) == 3\n    assert f(0, 0) == 0\n", "entry_point": "add"}
ECHO = {"cases": [{"stdin": "3\n", "stdout": "6\n"}, {"stdin": "5\n", "stdout": "10\n"}]}
RIGHT = "def add(a, b):\n    return a + b\n"


def verdict_of(gold: object, program: str, **options: object) -> Verdict:
    config = parse_config({"type": "code", "timeout_s": 3, "memory_mb": 256, **options})
    with open_grading(config, 1) as grading:
        [verdict] = grading.grade([GradeItem(key="x", answer=json.dumps(gold), response=program)])
    return verdict


@pytest.mark.parametrize("gold", [ADD, CHECK])
def test_code_right_program_passes(gold: object) -> None:
    verdict = verdict_of(gold, f"Here it is:\n```python\n{RIGHT}```\nDone.")
    assert (verdict.outcome, verdict.reason, verdict.score) == (Outcome.CORRECT, "tests_passed", 1.0)


@pytest.mark.parametrize("gold", [ADD, CHECK])
def test_code_wrong_program_fails(gold: object) -> None:
    verdict = verdict_of(gold, "def add(a, b):\n    return a - b\n")
    assert (verdict.outcome, verdict.score) == (Outcome.WRONG, 0.0)


def test_code_script_is_compared_by_what_it_prints() -> None:
    assert verdict_of(ECHO, "print(2 * int(input()))").outcome is Outcome.CORRECT
    assert verdict_of(ECHO, "print(6)").outcome is Outcome.WRONG


def test_code_partial_scores_the_share_of_tests() -> None:
    program = "def add(a, b):\n    return a + b if a >= 0 else 7\n"
    verdict = verdict_of(ADD, program, partial=True, pass_threshold=0.7)
    assert (verdict.outcome, verdict.score) == (Outcome.CORRECT, 0.75)
    assert verdict_of(ADD, program, partial=True).outcome is Outcome.WRONG


def test_code_helper_in_place_change_and_exception_reach_the_test() -> None:
    tests = """
def check(f):
    numbers = [3, 1, 2]
    f(numbers)
    assert numbers == [1, 2, 3]
    assert twice(4) == 8
    assert f((1,)) == (1,)
    try:
        f(None)
    except ValueError:
        caught = True
    assert caught
"""
    program = """
def twice(x): return 2 * x
def order(x):
    if x is None: raise ValueError("none")
    if isinstance(x, tuple): return x
    x.sort()
"""
    assert verdict_of({"test": tests, "entry_point": "order"}, program).reason == "tests_passed"


HOSTILE = {
    "exit": "import os\nos._exit(0)\n",
    "exit later": "import os\ndef add(a, b):\n    os._exit(0)\n",
    "sys.exit": "import sys\nsys.exit(0)\n",
    "loop": "while True: pass\n",
    "loop later": "def add(a, b):\n    while True: pass\n",
    "fork bomb": "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass\n",
    "memory": "x = bytearray(3 << 30)\n" + RIGHT,
    "flood": "import os\nwhile True: os.write(1, b'x' * 65536)\n",
    "flood by reply": "def add(a, b):\n    return 'x' * (1 << 24)\n",
    "forge": 'import os\nfor n in range(3, 20):\n    try: os.write(n, b\'{"records": [true], "error": null}\\n\')\n'
    "    except OSError: pass\n",
    "equal to all": "class Same(int):\n    def __eq__(self, other): return True\ndef add(a, b): return Same(9)\n",
    "patch": "import builtins\nbuiltins.AssertionError = None\nbuiltins.all = lambda x: True\ndef add(a, b): return 9\n",
    "recursion": "def add(a, b): return add(a, b)\n",
    "endless iterator": "def add(a, b):\n    while True: yield 1\n",
    "syntax": "def add(a, b) return\n",
    "kill": "import os, signal\nos.kill(-1, signal.SIGKILL)\n",
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("gold", [ADD, CHECK], ids=["cases", "assertions"])
def test_code_hostile_program_never_passes(name: str, gold: object) -> None:
    started = time.monotonic()
    verdict = verdict_of(gold, HOSTILE[name])
    assert verdict.outcome is Outcome.WRONG
    assert time.monotonic() - started < 60


PROBES = {
    "network": "import socket\ns = socket.socket()\ns.settimeout(1)\ns.connect(('1.1.1.1', 53))\n",
    "local network": "import socket\ns = socket.socket()\ns.settimeout(1)\ns.connect(('127.0.0.1', 22))\n",
    "passwords": "open('/etc/passwd').read()\n",
    "home": "import os\nos.listdir('/home')\n",
    "sources": f"open({str(Path(__file__).resolve())!r}).read()\n",
    "other processes": "import os\nassert any(p.isdigit() and int(p) > 40 for p in os.listdir('/proc'))\n",
    "write outside": "open('/usr/x', 'w')\n",
    "fill disk": "f = open('/tmp/x', 'wb')\nfor _ in range(100): f.write(b'x' * (1 << 20)); f.flush()\n",
    "become root": "import os\nos.setuid(0)\n",
    "mount": "import ctypes\nassert ctypes.CDLL(None).mount(b'none', b'/tmp', b'tmpfs', 0, None) == 0\n",
    "environment": "import os\nassert 'HOME' in os.environ or 'STAR_HOME' in os.environ\n",
    "command line": "assert 'add' in open('/proc/self/cmdline').read()\n",
}


@pytest.mark.parametrize("name", PROBES)
def test_code_sandbox_blocks(name: str) -> None:
    """The program passes its test only if what it tries raises."""
    body = "".join(f"        {line}\n" for line in PROBES[name].splitlines())
    program = f"def add(a, b):\n    try:\n{body}    except BaseException:\n        return a + b\n    return 'got through'\n"
    assert verdict_of({"entry_point": "add", "cases": [[[1, 2], 3]]}, program).outcome is Outcome.CORRECT


def test_code_after_hostile_programs_no_process_is_left() -> None:
    memory_mb = (
        251  # stands in the command line, and tells this sandbox from those of tests that run beside it
    )
    verdict_of(ADD, HOSTILE["fork bomb"], memory_mb=memory_mb)
    deadline = time.monotonic() + 30
    while left := list(_sandboxes(str(memory_mb << 20))):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def _sandboxes(mark: str) -> Iterator[bytes]:
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with suppress(OSError):
                command = (process / "cmdline").read_bytes()
                if mark.encode() in command:
                    yield command


def test_code_unreadable_tests_are_ungraded() -> None:
    verdict = verdict_of("no tests", RIGHT)
    assert (verdict.outcome, verdict.reason) == (Outcome.UNGRADED, "unparseable_gold")


def test_code_without_bubblewrap_is_refused_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    sandbox.refusal.cache_clear()
    try:
        with pytest.raises(ConfigError, match="bubblewrap"):
            build_grader(parse_config({"type": "code"}))
        assert verdict_of(ADD, RIGHT, allow_unsafe=True).outcome is Outcome.CORRECT
    finally:
        sandbox.refusal.cache_clear()
    assert os.environ["PATH"] == str(tmp_path)
