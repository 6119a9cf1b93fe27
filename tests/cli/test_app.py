"""The frame of the command line: quick help, one message per error, exit codes of their own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from pipeline.cli.app import app
from tests.experiments import star

HEAVY = ("torch", "transformers", "trl", "vllm", "duckdb", "pyarrow", "matplotlib", "datasets")
COMMANDS = sorted(get_command(app).commands)


def invoke(*arguments: str, home: Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command run in this process."""
    told = CliRunner().invoke(app, ["--home", str(home), *arguments])
    return told.exit_code, told.stdout, told.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_asked_for_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; sys.argv = ['star', *sys.argv[1:]]\n"
        "from pipeline.cli import main\n"
        "try: main()\n"
        f"finally: print('HEAVY', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert "HEAVY []" in told.stdout


def test_commands_are_those_that_the_documents_name() -> None:
    wanted = [
        "init",
        "run",
        "stage",
        "status",
        "preview",
        "show",
        "check",
        "sql",
        "report",
        "export",
        "fork",
        "config",
        "demo",
    ]
    assert set(wanted) <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_command_help_explains_and_gives_an_example(name: str, tmp_path: Path) -> None:
    code, told, _ = invoke(name, "--help", home=tmp_path)
    assert code == 0
    assert f"star {name}" in told.partition("Examples")[2]


def test_help_lists_the_exit_codes(tmp_path: Path) -> None:
    code, told, _ = invoke("--help", home=tmp_path)
    assert code == 0
    for number in ("64", "65", "66", "69", "70", "74", "75", "76", "77", "130"):
        assert number in told


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["config", "nowhere.yaml"], 64, "'nowhere.yaml' not found"),
        (["config", "addition", "--set", "generate.sampels=2"], 64, "did you mean 'samples'"),
        (["config", "addition", "--set", "generate.temperature=0"], 64, "all samples of a problem"),
        (["config"], 64, "name a config"),
        (["config", "addition", "--set", "verify.grader.type=maths"], 64, "did you mean 'math'?"),
        (["config", "addition", "--set", "generate.stop=abc"], 64, "expected a list"),
        (["--home", "/dev/null/x", "run", "smoke"], 74, "/dev/null"),
        (["run", "addition", "--experiment", "../x"], 64, "experiment name '../x' is not valid"),
        (["run", "addition", "--until", "teach"], 64, "--until 'teach' is no stage"),
        (["stage", "generate", "new", "--round", "1"], 66, "--config CONFIG"),
        (["stage", "generate", "new", "--round", "1", "--shard", "4/4"], 64, "--shard '4/4'"),
        (["status", "nobody"], 74, "no store at"),
        (["sql", "select 1"], 74, "no store at"),
        (["stage", "--round", "1"], 2, "Missing argument"),
        (["wrun"], 2, "Did you mean 'run'"),
    ],
)
def test_error_is_one_message_with_its_exit_code(
    arguments: list[str], code: int, words: str, tmp_path: Path
) -> None:
    found, _, told = invoke(*arguments, home=tmp_path / "home")
    assert (found, words in " ".join(told.replace("│", " ").split())) == (code, True), told
    assert "Traceback" not in told


def test_store_that_is_another_program_s_file_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "star.duckdb"
    path.write_bytes(b"not a database" * 100)
    code, _, told = invoke("status", home=tmp_path)
    assert (code, "star.duckdb" in told) == (74, True)
    assert path.read_bytes() == b"not a database" * 100


def test_path_that_cannot_be_used_is_told_with_its_remedy_and_debug_shows_the_traceback(
    tmp_path: Path,
) -> None:
    (tmp_path / "configs").write_text("a file where init makes a folder")
    told = star("init", str(tmp_path), home=tmp_path)
    assert told.returncode == 74
    assert "cannot be used: File exists; a file is where a folder is needed" in told.stderr
    assert "Traceback" not in told.stderr
    told = star("--debug", "init", str(tmp_path), home=tmp_path)
    assert "Traceback" in told.stderr


def test_home_comes_from_the_option_the_environment_or_the_working_directory(tmp_path: Path) -> None:
    runner = CliRunner()
    told = runner.invoke(app, ["status"], env={"STAR_HOME": str(tmp_path / "named")})
    assert str(tmp_path / "named") in told.stderr
    told = runner.invoke(app, ["--home", str(tmp_path / "given"), "status"], env={"STAR_HOME": "/elsewhere"})
    assert str(tmp_path / "given") in told.stderr


def test_status_of_an_empty_home_says_how_to_start_and_makes_nothing(tmp_path: Path) -> None:
    code, told, said = invoke("status", home=tmp_path / "home")
    assert (code, told) == (0, "")
    assert "star demo" in said
    code, told, _ = invoke("status", "--json", home=tmp_path / "home")
    assert (code, json.loads(told)) == (0, [])
    assert not (tmp_path / "home").exists()
