"""`star store` and `star check --deep` as a user gives them, on an experiment up to its first selection."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.paths import Home
from pipeline.store import Store
from tests.cli.test_app import invoke
from tests.experiments import NAME
from tests.store.test_maintenance import content


@pytest.fixture
def home(selected: Path, tmp_path: Path) -> Path:
    shutil.copytree(selected / "home", tmp_path / "home")
    return tmp_path / "home"


def test_compact_says_what_it_gave_back(home: Path) -> None:
    before = content(Store(Home(home)))
    code, told, _ = invoke("store", "compact", "--json", home=home)
    sizes = json.loads(told)
    assert code == 0
    assert sizes["bytes_after"] == (home / "star.duckdb").stat().st_size
    assert content(Store(Home(home))) == before


def test_archive_and_restore_an_experiment(home: Path, tmp_path: Path) -> None:
    before, to = content(Store(Home(home))), tmp_path / "archive"
    code, told, said = invoke("store", "archive", NAME, "--to", str(to), home=home)
    assert (code, f"{NAME} is out of the store" in said) == (0, True)
    assert invoke("status", NAME, home=home)[0] == 66
    code, told, _ = invoke("store", "restore", str(to), "--json", home=home)
    assert (code, json.loads(told)["experiment"]) == (0, NAME)
    assert content(Store(Home(home))) == before
    assert invoke("check", "--deep", home=home)[0] == 0
    assert invoke("store", "restore", str(to), home=home)[0] == 74
    assert invoke("store", "restore", str(home), home=home)[0] == 65
    assert invoke("store", "archive", "nobody", "--to", str(tmp_path / "x"), home=home)[0] == 66


def test_commands_that_need_the_store_still_refuse_while_an_experiment_runs(
    home: Path, tmp_path: Path
) -> None:
    with Store(Home(home)).lease(NAME, "a test"):
        for arguments in (["compact"], ["archive", NAME, "--to", str(tmp_path / "archive")]):
            code, told, said = invoke("store", *arguments, home=home)
            assert (code, told) == (75, "")
            assert "is being run: a test by process" in said
    assert not (tmp_path / "archive").exists()


def test_archive_that_is_killed_leaves_the_experiment_or_a_whole_archive(home: Path, tmp_path: Path) -> None:
    before, to = content(Store(Home(home))), tmp_path / "archive"
    (home / "experiments" / NAME / "large.bin").write_bytes(os.urandom(200 << 20))
    command = [
        sys.executable,
        "-m",
        "pipeline",
        "--home",
        str(home),
        "store",
        "archive",
        NAME,
        "--to",
        str(to),
    ]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while process.poll() is None and not (tmp_path / "archive.partial" / "files").exists():
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not to.exists() and content(Store(Home(home))) == before
    assert invoke("store", "archive", NAME, "--to", str(to), home=home)[0] == 0
    assert invoke("store", "restore", str(to), home=home)[0] == 0
    assert content(Store(Home(home))) == before


def test_rebuild_after_the_loss_of_the_file_equals_what_it_held(home: Path) -> None:
    store = Store(Home(home))
    store.flag(NAME, _an_attempt(store), kind="exclude", author="anna")
    store.put("rounds", [{"experiment": NAME, "round": 0, "decision": "continue", "reason": "1 left"}])
    (home / "other.yaml").write_text("{type: string_check, name: lenient, operation: like}")
    code, _, said = invoke("regrade", NAME, "--grader", str(home / "other.yaml"), home=home)
    assert code == 0, said
    before = content(store)
    assert "lenient" in {row[3] for row in before["verdicts"]}
    assert invoke("store", "rebuild", home=home)[0] == 74
    (home / "star.duckdb").unlink()
    code, told, _ = invoke("store", "rebuild", "--json", home=home)
    assert (code, json.loads(told)["left_out"], json.loads(told)["replaced"]) == (0, [], [])
    assert content(Store(Home(home))) == before
    next(home.rglob("generate/**/rationales.parquet")).unlink()
    code, told, _ = invoke("store", "rebuild", "--to", str(home / "other.duckdb"), home=home)
    assert code == 65
    assert "left out: commit experiment sums round 1 stage generate" in told and "is gone" in told


def _an_attempt(store: Store) -> str:
    with store.reading() as connection:
        found = connection.execute("SELECT min(rationale_id) FROM current_rationales").fetchone()
    assert found is not None
    return str(found[0])


def test_check_deep_names_every_damaged_shard_file(home: Path) -> None:
    damaged = next(home.rglob("generate/**/rationales.parquet"))
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    gone = next(home.rglob("prepare/**/problems.parquet"))
    gone.unlink()
    assert invoke("check", home=home)[0] == 0
    code, told, _ = invoke("check", NAME, "--deep", home=home)
    assert (code, "FAILED  shard file changed" in told, "FAILED  shard file missing" in told) == (
        70,
        True,
        True,
    )
    offences = json.loads(invoke("check", "--deep", "--json", home=home)[1])
    assert {(offence["check"], offence["row"]["path"]) for offence in offences} == {
        ("shard_file_changed", str(damaged.relative_to(home))),
        ("shard_file_missing", str(gone.relative_to(home))),
    }
    assert invoke("check", NAME, "--deep", "--round", "0", home=home)[0] == 70


def test_migrate_says_which_targets_there_are(home: Path) -> None:
    code, _, said = invoke("store", "migrate", "file", home=home)
    assert (code, "is " in said and "already" in said) == (64, True)
    code, _, said = invoke("store", "migrate", "postgres:host=x", home=home)
    assert (code, "ducklake:postgres:" in said) == (64, True)
