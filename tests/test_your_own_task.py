"""docs/your-own-task.md as its reader goes through it: files saved, commands run as written, outputs compared."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

BLOCK = re.compile(r"^```(\w+)[ ]?([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND_SECONDS = 600
NUMBER = re.compile(r"\d[\d.,]*")
LINK = re.compile(r"http://127\.0\.0\.1:\S+")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language and what stands behind it (a file's name, or how it is run)."""

    language: str
    mark: str
    text: str

    def commands(self) -> list[tuple[str, list[str]]]:
        """Each command of a `console` block with the lines printed under it."""
        commands: list[tuple[str, list[str]]] = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                commands.append((line.removeprefix("$ "), []))
            else:
                commands[-1][1].append(line)
        return commands


def blocks(document: str) -> list[Block]:
    return [Block(*match.groups()) for match in BLOCK.finditer(document)]


@pytest.fixture(scope="module")
def document(repository: Path) -> str:
    return (repository / "docs" / "your-own-task.md").read_text(encoding="utf-8")


@pytest.fixture
def environment(repository: Path) -> dict[str, str]:
    """A shell with the project's environment activated, its home where the reader is, and no network."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("STAR_")}
    path = os.pathsep.join([str(Path(sys.executable).parent), own["PATH"]])
    return {**own, "PATH": path, "PYTHONPATH": str(repository), "COLUMNS": "200", "HF_HUB_OFFLINE": "1"}


def test_document_commands_do_as_written_in_an_empty_folder(
    document: str, environment: dict[str, str], tmp_path: Path
) -> None:
    for block in blocks(document):
        if block.language != "console":
            assert f"`{block.mark}`" in document, f"the text does not say to save {block.mark}"
            (tmp_path / block.mark).write_text(block.text, encoding="utf-8")
        elif block.mark == "server":
            serves_pages(block, environment, tmp_path)
        elif block.mark != "gpu":
            for command, quoted in block.commands():
                prints(command, quoted, environment, tmp_path, numbers=block.mark != "numbers vary")
    assert rises(environment, tmp_path) > 0.3


def test_document_marks_are_known(document: str) -> None:
    marks = {block.mark for block in blocks(document) if block.language == "console"}
    assert marks == {"", "numbers vary", "server", "gpu"}


def prints(command: str, quoted: list[str], environment: dict[str, str], folder: Path, numbers: bool) -> None:
    """Run a command; every quoted line stands in its output, in this order, and nothing else unless `...` does."""
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=COMMAND_SECONDS,
    )
    fails = any(line.startswith("error: ") for line in quoted)
    assert (done.returncode != 0) == fails, f"{command}\n{done.stdout}"
    if quoted:
        pattern = expected("\n".join(quoted), numbers)
        said = plain(done.stdout, numbers)
        assert re.fullmatch(pattern, said, re.DOTALL), f"{command} says\n{said}\nbut the document\n{quoted}"


def expected(quoted: str, numbers: bool) -> str:
    """A pattern of the quoted text in which `...` stands for anything: part of a line, or whole lines."""
    return ".*".join(re.escape(part) for part in re.split(r"\n?\.\.\.\n?", plain(quoted, numbers)))


def plain(text: str, numbers: bool) -> str:
    """Text without the width of columns, empty lines and, where they vary, numbers."""
    lines = (" ".join(line.split()) for line in text.splitlines())
    joined = "\n".join(line for line in lines if line)
    return joined if numbers else NUMBER.sub("#", joined.replace("...", "\0")).replace("\0", "...")


def serves_pages(block: Block, environment: dict[str, str], folder: Path) -> None:
    """Start the server, find its address in what it says, read a page, and end it as Ctrl-C does."""
    [(command, _)] = block.commands()
    server = subprocess.Popen(
        ["bash", "-c", f"exec {command}"],
        cwd=folder,
        env={**environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert server.stdout is not None
        address = next(found[0] for line in server.stdout if (found := LINK.search(line)))
        with urllib.request.urlopen(address, timeout=60) as page:
            assert "ferry" in page.read().decode()
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=60)


def rises(environment: dict[str, str], folder: Path) -> float:
    """Held-out accuracy of the last round less that of the base."""
    query = "select round, value from current_evaluations where experiment = 'ferry' and metric = 'accuracy' and difficulty is null"
    told = subprocess.run(
        ["star", "sql", query, "--json"], cwd=folder, env=environment, capture_output=True, text=True
    )
    by_round = {row["round"]: row["value"] for row in json.loads(told.stdout)}
    return float(by_round[max(by_round)] - by_round[0])
