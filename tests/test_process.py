"""`run_child`: lines arrive, exit codes are true, and nothing survives any kind of ending."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from pipeline.errors import StarError
from pipeline.process import ChildTimeoutError, LastLines, run_child

# Ignores SIGTERM, and so does its grandchild, which also leaves for a session of its own and writes its pid.
STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
code = "import os,signal,sys,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.setsid(); " \\
       "open(sys.argv[1],'w').write(str(os.getpid())); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", code, sys.argv[2]])
while not os.path.exists(sys.argv[2]) or not open(sys.argv[2]).read():
    time.sleep(0.01)
open(sys.argv[1], "w").write(str(os.getpid()))
print("ready", flush=True)
time.sleep(600)
"""


def python(code: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(condition, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def pids(tmp_path: Path):
    """Two files into which the stubborn child and grandchild write their pids; both are ended in the end."""
    files = [tmp_path / "child.pid", tmp_path / "grandchild.pid"]
    yield files
    for file in files:
        if file.exists() and file.read_text() and alive(int(file.read_text())):
            os.kill(int(file.read_text()), signal.SIGKILL)


def test_run_child_lines_and_exit_code_are_handed_on():
    lines: list[str] = []
    errors = LastLines(2)
    code = run_child(
        python(
            """
            import sys
            print('a\\nb')
            sys.stderr.write('1\\n2\\n3')
            sys.stdout.write('end')
            sys.exit(7)
            """
        ),
        on_line=lines.append,
        on_error_line=errors,
        env=os.environ,
        timeout_s=None,
    )
    assert (code, lines, errors.text) == (7, ["a", "b", "end"], "2\n3")


def test_run_child_lines_arrive_while_the_child_still_runs(tmp_path: Path):
    go = tmp_path / "go"
    code = run_child(
        python(
            """
            import os, sys, time
            print("first", flush=True)
            while not os.path.exists(sys.argv[1]):
                time.sleep(0.01)
            """,
            go,
        ),
        on_line=lambda line: go.write_text(line),
        env=os.environ,
        timeout_s=60,
    )
    assert code == 0 and go.read_text() == "first"


def test_run_child_killed_by_a_signal_gives_its_negative_number():
    code = run_child(
        python("import os; os.kill(os.getpid(), 9)"), on_line=print, env=os.environ, timeout_s=60
    )
    assert code == -signal.SIGKILL


def test_run_child_gives_only_the_environment_asked_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STAR_OUTER", "1")
    lines: list[str] = []
    run_child(
        python("import os; print('STAR_OUTER' in os.environ, os.environ['STAR_INNER'])"),
        on_line=lines.append,
        env={"STAR_INNER": "2"},
        timeout_s=60,
    )
    assert lines == ["False 2"]


def test_run_child_unknown_command_is_127_and_says_so():
    errors = LastLines()
    code = run_child(["/no/such/command"], on_line=print, on_error_line=errors, env={}, timeout_s=60)
    assert code == 127
    assert "/no/such/command" in errors.text


def test_run_child_timeout_ends_a_tree_that_ignores_sigterm(pids: list[Path]):
    with pytest.raises(ChildTimeoutError, match="after 4 s") as caught:
        run_child(python(STUBBORN, *pids), on_line=print, env=os.environ, timeout_s=4, grace_s=0.3)
    assert isinstance(caught.value, StarError)
    assert [alive(int(file.read_text())) for file in pids] == [False, False]


def test_run_child_exception_in_the_callback_ends_the_tree(pids: list[Path]):
    def fail(line: str) -> None:
        raise ValueError(line)

    with pytest.raises(ValueError, match="ready"):
        run_child(python(STUBBORN, *pids), on_line=fail, env=os.environ, timeout_s=60, grace_s=0.3)
    assert [alive(int(file.read_text())) for file in pids] == [False, False]


def test_run_child_left_behind_grandchild_is_ended_when_the_child_exits(tmp_path: Path):
    file = tmp_path / "pid"
    code = run_child(
        python(
            """
            import subprocess, sys
            child = subprocess.Popen(["sleep", "600"], start_new_session=True)
            open(sys.argv[1], "w").write(str(child.pid))
            """,
            file,
        ),
        on_line=print,
        env=os.environ,
        timeout_s=60,
        grace_s=0.3,
    )
    assert code == 0
    assert not alive(int(file.read_text()))


def test_run_child_polite_child_gets_its_grace(tmp_path: Path):
    said = tmp_path / "said"
    with pytest.raises(ChildTimeoutError):
        run_child(
            python(
                """
                import signal, sys, time
                def leave(*_):
                    time.sleep(0.3)
                    open(sys.argv[1], "w").write("cleaned up")
                    sys.exit(0)
                signal.signal(signal.SIGTERM, leave)
                time.sleep(600)
                """,
                said,
            ),
            on_line=print,
            env=os.environ,
            timeout_s=4,
            grace_s=20,
        )
    assert said.read_text() == "cleaned up"


@pytest.mark.parametrize(
    ("number", "expected"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)]
)
def test_run_child_parent_ended_by_signal_leaves_nothing(pids: list[Path], number: int, expected: int):
    code = """
        import os, sys
        from pipeline.process import run_child
        command = [sys.executable, "-c", *sys.argv[1:]]
        run_child(command, on_line=print, env=os.environ, timeout_s=None, grace_s=0.3)
    """
    parent = subprocess.Popen(python(code, STUBBORN, *pids), stderr=subprocess.DEVNULL)
    try:
        assert wait_until(lambda: pids[0].exists() and pids[0].read_text())
        parent.send_signal(number)
        assert parent.wait(30) == expected
    finally:
        parent.kill()
        parent.wait()
    assert wait_until(lambda: not any(alive(int(file.read_text())) for file in pids))


def test_run_child_killed_supervisor_takes_the_child_along(pids: list[Path]):
    def kill_supervisor(_line: str) -> None:
        os.kill(psutil.Process(int(pids[0].read_text())).ppid(), signal.SIGKILL)

    code = run_child(
        python(STUBBORN, *pids), on_line=kill_supervisor, env=os.environ, timeout_s=60, grace_s=0.3
    )
    assert code == -signal.SIGKILL
    assert wait_until(lambda: not alive(int(pids[0].read_text())))


@pytest.mark.skipif(sys.platform != "linux", reason="a first thread that ends before the others is Linux")
def test_run_child_whose_first_thread_has_ended_is_ended_whole(tmp_path: Path):
    file = tmp_path / "pid"
    with pytest.raises(ChildTimeoutError):
        run_child(
            python(
                """
                import ctypes, os, sys, threading, time
                threading.Thread(target=time.sleep, args=(600,)).start()
                open(sys.argv[1], "w").write(str(os.getpid()))
                libc = ctypes.PyDLL(None)
                libc.syscall(60 if os.uname().machine == "x86_64" else 93, 0)  # exit of this thread alone
                """,
                file,
            ),
            on_line=print,
            env=os.environ,
            timeout_s=4,
            grace_s=0.3,
        )
    assert not psutil.pid_exists(int(file.read_text()))
