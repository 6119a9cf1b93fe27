"""Fill .venv from a lock: `python locks/install.py demo|full|gpu`. Standard library only.

A lock names its whole closure with hashes, so pip is told `--no-deps`: it neither resolves nor adds anything,
and takes seconds to see that nothing is to be done. torch comes first: the CPU build where an index offers
it, else PyPI's, which on Linux needs CUDA libraries even to be imported. The two are asked for apart: among
files of one version pip prefers one whose hash the index tells, and a plain folder of wheels tells none.

A stamp in .venv remembers the interpreter and the digest of what was installed: a second run does nothing.
"""

import hashlib
import json
import platform
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

LOCKS = Path(__file__).resolve().parent
PROJECT = LOCKS.parent
VENV = PROJECT / ".venv"
STAMP = VENV / "installed.json"
LOG = VENV / "install.log"
PYTHON = VENV / "bin" / "python"
TAIL_OF_LOG = 15


@dataclass(frozen=True)
class Profile:
    """One environment: its locks in the order of installation, and the profiles it can stand in for."""

    locks: tuple[str, ...]
    covers: tuple[str, ...]
    what: str


TORCH = ("torch-cpu.txt", "torch-pypi.txt")
"""Alternatives: the second is installed where the first is not to be had."""
PROFILES = {
    "demo": Profile((*TORCH, "demo-cpu.txt"), ("demo",), "what the demo needs (about 1 minute)"),
    "full": Profile((*TORCH, "cpu.txt"), ("demo", "full"), "everything, for the CPU (2 to 4 minutes)"),
    "gpu": Profile(("gpu.txt",), ("demo", "full", "gpu"), "everything, for a GPU (several GB)"),
}


class InstallError(Exception):
    """The environment could not be filled; the message says what was tried and what helps."""


def main(asked: str) -> None:
    """Bring .venv to the state the profile asks for."""
    stamp = read_stamp()
    name = "gpu" if stamp.get("profile") == "gpu" else asked
    interpreter = f"{platform.python_version()} in {sys.base_prefix}"
    if stamp.get("interpreter") == interpreter and stamp.get("digests", {}).get(name) == digest(name):
        return
    started = time.monotonic()
    print(
        f"set-up: {PROFILES[name].what}, Python {interpreter}, log in {LOG.relative_to(PROJECT)}", flush=True
    )
    make_venv(interpreter)
    STAMP.unlink(missing_ok=True)
    LOG.unlink(missing_ok=True)
    for lock in PROFILES[name].locks:
        if lock not in TORCH:
            install_lock(lock)
        elif lock == TORCH[0]:
            install_torch()
    pip("this project", "--no-deps", "--no-build-isolation", "--editable", PROJECT)
    digests = {covered: digest(covered) for covered in PROFILES[name].covers}
    STAMP.write_text(json.dumps({"profile": name, "interpreter": interpreter, "digests": digests}, indent=1))
    print(f"set-up: done in {time.monotonic() - started:.0f} s; from now on it takes no time", flush=True)


def read_stamp() -> dict[str, Any]:
    """What the last finished installation recorded; empty where there is none."""
    try:
        stamp: dict[str, Any] = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return stamp


def digest(name: str) -> str:
    """Of the profile's locks and of what the installed project itself depends on in pyproject.toml."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    parts = [(LOCKS / lock).read_text() for lock in PROFILES[name].locks]
    parts += [
        json.dumps([project["project"], project["build-system"], project["tool"]["hatch"]], sort_keys=True)
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def make_venv(interpreter: str) -> None:
    """Create .venv, anew where it belongs to another interpreter."""
    ask = "import platform, sys; print(f'{platform.python_version()} in {sys.base_prefix}')"
    if PYTHON.exists():
        answer = subprocess.run([PYTHON, "-c", ask], capture_output=True, text=True)
        if answer.stdout.strip() == interpreter:
            return
        print(
            f"set-up: .venv is of {answer.stdout.strip() or 'a Python that is gone'}, made anew", flush=True
        )
    command = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    made = subprocess.run(command, capture_output=True, text=True)
    if made.returncode:
        said = (made.stdout + made.stderr).strip()
        raise InstallError(f"{' '.join(command)} failed:\n{said}\nOn Debian: apt-get install python3-venv")


def install_lock(lock: str) -> None:
    """Install one file of locks/ as it stands."""
    pip(f"locks/{lock}", "--no-deps", "--require-hashes", "--only-binary=:all:", "-r", LOCKS / lock)


def install_torch() -> None:
    """Install the CPU build, or say that there is none for this Python and install PyPI's."""
    try:
        install_lock(TORCH[0])
    except InstallError:
        print("  no index has that CPU build for this Python: PyPI's torch comes instead,", flush=True)
        print("  on Linux with CUDA libraries of several GB", flush=True)
        install_lock(TORCH[1])


def pip(what: str, *arguments: object) -> None:
    """Run `pip install`, show one line that counts packages, keep pip's whole output in the log."""
    command = [str(a) for a in (PYTHON, "-m", "pip", "install", "--disable-pip-version-check", *arguments)]
    process = subprocess.Popen(
        command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    assert process.stdout is not None
    with LOG.open("a") as log:
        for status in statuses(process.stdout, log):
            show(f"  {what}: {status}")
    show(f"  {what}: {'not installed' if process.wait() else 'ready'}", last=True)
    if process.returncode:
        last = [line for line in LOG.read_text().splitlines() if "is ignored: it is neither" not in line]
        raise InstallError(
            "\n".join(last[-TAIL_OF_LOG:])
            + f"\n\n{what} could not be installed; all that pip said: {LOG}\n"
            + "Network, index and disk space are the usual causes. The same command tries again and keeps"
            + " what is installed; `make clean` starts from nothing."
        )


def statuses(lines: Iterable[str], log: TextIO) -> Iterator[str]:
    """Copy pip's lines to the log; yield what they mean to someone who waits."""
    looked_at = 0
    for line in lines:
        log.write(line)
        words = line.replace(",", " ").split()
        if words[:1] in (["Collecting"], ["Processing"]):
            looked_at += 1
            yield f"{looked_at} fetched, now {Path(words[1].split('==')[0]).name}"
        elif words[:2] == ["Installing", "collected"]:
            yield f"installing {len(words) - 3} packages"


def show(line: str, last: bool = False) -> None:
    """On a terminal one line that is overwritten; elsewhere only the last one."""
    if sys.stdout.isatty():
        print(f"\r\033[K{line[:100]}", end="\n" if last else "", flush=True)
    elif last or "installing" in line:
        print(line, flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in PROFILES:
        sys.exit(f"usage: install.py {'|'.join(PROFILES)}")
    try:
        main(sys.argv[1])
    except InstallError as error:
        sys.exit(f"\nset-up failed: {error}")
