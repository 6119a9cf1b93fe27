"""Run Python that nobody trusts: bubblewrap around an isolated interpreter, spoken to by lines of JSON.

Inside there is no network, no file but the interpreter and `/usr` (read-only), a small `/tmp` in memory, no
environment, no capability; memory, processor time, processes and file sizes are limited, and the process
namespace dies with its first process. `RLIMIT_NPROC` does not bind root, so under root the code runs as
another
user. Output is read as a stream with a cap. Where bubblewrap is missing or may not make namespaces, running
is
refused, unless the config allows an unprotected child process (`allow_unsafe`).
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from pipeline.errors import ConfigError

INSIDE = Path(__file__).resolve().parent / "inside"
_USER = 64_321
_START_S = 10.0
"""Seconds for the start of the interpreter, beside the program's own."""
_REMEDY = (
    "install bubblewrap (Debian, Ubuntu: apt-get install bubblewrap; in a container, allow unprivileged user "
    "namespaces), or set allow_unsafe: true if you trust every program that will be run"
)
_BOOT = (
    "import sys,json;_h=json.loads(sys.stdin.buffer.readline());"
    "exec(compile(_h['driver'],'driver','exec'),{'__name__':'__main__','HELLO':_h})"
)
_LAUNCH = """
import os, resource, sys
user, memory, seconds, processes, size = map(int, sys.argv[1:6])
for name, limit in (("CORE", 0), ("AS", memory), ("CPU", seconds), ("FSIZE", size), ("NOFILE", 64)):
    resource.setrlimit(getattr(resource, "RLIMIT_" + name), (limit, limit))
if user:
    os.setgroups([]); os.setresgid(user, user, user); os.setresuid(user, user, user)
resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))
os.execv(sys.argv[6], sys.argv[6:])
"""


class SandboxError(Exception):
    """The program inside ended, overran, flooded or spoke nonsense; `reason` is a word for the verdict."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SandboxDownError(Exception):
    """The sandbox did not start: the grader has failed, not the program."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a program inside may use."""

    seconds: float = 5.0
    memory_mb: int = 512
    output_bytes: int = 1 << 20
    processes: int = 16
    file_bytes: int = 16 << 20


@lru_cache(maxsize=1)
def refusal() -> str | None:
    """Why bubblewrap cannot be used here; None where it works."""
    if shutil.which("bwrap") is None:
        return "bubblewrap (bwrap) is not installed"
    command = [*_bubblewrap(Limits()), sys_python(), "-I", "-S", "-c", "print(1)"]
    tried = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={"PATH": os.environ.get("PATH", "")}
    )
    return (
        None
        if tried.stdout.strip() == "1"
        else f"bubblewrap does not work here ({tried.stderr.strip()[:300]})"
    )


def require(grader: str, allow_unsafe: bool) -> None:
    """ConfigError where code cannot be run safely and the config does not allow it otherwise."""
    reason = None if allow_unsafe else refusal()
    if reason is not None:
        raise ConfigError(f"grader {grader!r} runs code, and {reason}; {_REMEDY}")


def sys_python() -> str:
    """The interpreter outside any virtual environment."""
    return os.path.realpath(sys.executable)


class Sandbox:
    """One program inside, with lines of JSON in and out. Use as a context manager."""

    def __init__(
        self, driver: str, hello: Mapping[str, Any], limits: Limits, *, unsafe: bool = False
    ) -> None:
        self._limits = limits
        self._read_bytes = 0
        self._buffer = b""
        self._process = subprocess.Popen(
            _command(limits, unsafe), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin"} if unsafe else {"PATH": os.environ.get("PATH", "/usr/bin:/bin")},
            process_group=0 if unsafe else None,
        )  # fmt: skip
        assert self._process.stdin is not None and self._process.stdout is not None
        self._in: IO[bytes] = self._process.stdin
        self._out: IO[bytes] = self._process.stdout
        self._unsafe = unsafe
        os.set_blocking(self._out.fileno(), False)
        os.set_blocking(self._in.fileno(), False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._out, selectors.EVENT_READ)
        self.deadline = time.monotonic() + limits.seconds + _START_S
        self.tell({"driver": _driver(driver), **hello})

    def __enter__(self) -> Sandbox:
        try:
            self.hear()
        except SandboxError:
            self.__exit__()
            raise SandboxDownError from None
        self.deadline = time.monotonic() + self._limits.seconds
        return self

    def __exit__(self, *exc: object) -> None:
        if self._unsafe:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        self._selector.close()
        self._out.close()
        with contextlib.suppress(BrokenPipeError):
            self._in.close()

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send one line. Raises SandboxError where the program does not read it in time."""
        data = memoryview(json.dumps(message).encode() + b"\n")
        while data:
            try:
                data = data[os.write(self._in.fileno(), data) :]
            except BlockingIOError:
                if time.monotonic() > self.deadline:
                    raise SandboxError("timeout") from None
                time.sleep(0.005)
            except BrokenPipeError:
                raise SandboxError("ended") from None

    def hear(self, seconds: float | None = None) -> Any:
        """The next line. Raises SandboxError: `timeout`, `ended`, `output_limit`, `nonsense`."""
        deadline = self.deadline if seconds is None else min(self.deadline, time.monotonic() + seconds)
        while b"\n" not in self._buffer:
            if not self._selector.select(max(0.0, deadline - time.monotonic())):
                raise SandboxError("timeout")
            data = os.read(self._out.fileno(), 1 << 16)
            if not data:
                raise SandboxError("ended")
            self._read_bytes += len(data)
            if self._read_bytes > self._limits.output_bytes:
                raise SandboxError("output_limit")
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        try:
            return json.loads(line)
        except (ValueError, RecursionError):
            raise SandboxError("nonsense") from None


@lru_cache(maxsize=8)
def _driver(name: str) -> str:
    """A program of `inside/`, with the codec it imports put before it: inside there is no package."""
    source = (INSIDE / f"{name}.py").read_text(encoding="utf-8")
    marker = "from pipeline.graders.inside.codec import decode, encode\n"
    if marker not in source:
        return source
    return (INSIDE / "codec.py").read_text(encoding="utf-8") + source.replace(marker, "")


def _command(limits: Limits, unsafe: bool) -> list[str]:
    user = 0 if unsafe or os.geteuid() != 0 else _USER
    numbers = [
        user, limits.memory_mb << 20, int(limits.seconds) + 2, limits.processes, limits.file_bytes,
    ]  # fmt: skip
    python = sys_python()
    launch = [python, "-I", "-S", "-c", _LAUNCH, *map(str, numbers), python, "-I", "-S", "-c", _BOOT]
    return launch if unsafe else [*_bubblewrap(limits), *launch]


def _bubblewrap(limits: Limits) -> list[str]:
    """The sandbox without its command. Under root no user namespace: the launcher changes the user itself."""
    root = os.geteuid() == 0
    command = ["bwrap", "--die-with-parent", "--new-session", "--clearenv"]
    if root:
        spaces = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
        command += [*spaces, "--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        command += ["--unshare-all", "--uid", str(_USER), "--gid", str(_USER), "--cap-drop", "ALL"]
    command += ["--ro-bind", "/usr", "/usr"]
    for link in ("lib", "lib64", "lib32", "bin"):
        if os.path.islink(f"/{link}"):
            command += ["--symlink", f"usr/{link}", f"/{link}"]
        elif os.path.isdir(f"/{link}"):
            command += ["--ro-bind", f"/{link}", f"/{link}"]
    prefix = os.path.realpath(sys.base_prefix)
    if not prefix.startswith("/usr"):
        for parent in reversed(
            Path(prefix).parents[:-1]
        ):  # readable by the other user, whatever they are outside
            command += ["--perms", "0755", "--dir", str(parent)]
        command += ["--ro-bind", prefix, prefix]
    return [
        *command, "--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--size", str(limits.file_bytes),
        "--tmpfs", "/tmp", "--chdir", "/tmp", "--hostname", "sandbox",
    ]  # fmt: skip
