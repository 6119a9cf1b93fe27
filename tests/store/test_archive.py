"""An experiment leaves the store as a folder and comes back equal; nothing is lost on the way."""

import io
import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from pipeline.errors import DataError, LeaseHeldError, StoreError
from pipeline.paths import Home
from pipeline.progress import LogProgress, Task
from pipeline.store import StageKey, Store
from pipeline.store.archive import archive, restore
from pipeline.store.checks import run_checks
from pipeline.store.journal import NAME as JOURNAL
from pipeline.store.maintenance import deep_check, rebuild
from tests.store.known_rows import EXPERIMENT, commit_rows, rationale, verdict
from tests.store.test_maintenance import QUIET, busy, content


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def two(world: Store) -> Store:
    """The world with a checkpoint on disk, flags, and another experiment that shares a prompt with it."""
    checkpoint = world.home.checkpoint(EXPERIMENT, 1)
    checkpoint.mkdir(parents=True)
    (checkpoint / "model.safetensors").write_bytes(b"weights")
    world.flag(EXPERIMENT, "g1", kind="exclude", author="anna", note="a guess")
    world.flag(EXPERIMENT, "r2", kind="wrong_verdict", author="bo")
    (flag, *_) = world.rows("flags_of_attempt", experiment=EXPERIMENT, rationale_id="r2")
    world.withdraw_flag(flag["flag_id"], author="bo")
    tables = {
        "rationales": [rationale("other", "p1")],
        "prompts": [{"prompt_hash": "prompt-p1", "text": "question of p1"}],
    }
    commit_rows(world, "generate", 1, tables, experiment="others")
    return world


def test_archive_and_restore_give_back_every_row_and_file(two: Store, tmp_path: Path) -> None:
    rows, files = content(two), files_below(two.home.experiment(EXPERIMENT))
    done = archive(two, EXPERIMENT, tmp_path / "archive", keep=False, progress=QUIET)
    assert done.rows["rationales"] == len(rows["rationales"]) - 1
    left = content(two)
    assert {row[1] for row in left["rationales"]} == {"others"}
    assert left["prompts"] == [("prompt-p1", "question of p1")]
    assert left["flags"] == left["rounds"] == left["experiments"] == []
    assert not two.home.experiment(EXPERIMENT).exists()

    assert restore(two, tmp_path / "archive", QUIET) == done
    assert content(two) == rows
    found = files_below(two.home.experiment(EXPERIMENT))
    assert {name: data for name, data in found.items() if not name.startswith("restored/")} == files
    assert two.state(StageKey(EXPERIMENT, 1, "train")).status == "done"
    assert run_checks(two, EXPERIMENT) == deep_check(two, EXPERIMENT, None, QUIET) == []


def test_archive_that_is_kept_is_a_copy_for_another_home(two: Store, tmp_path: Path) -> None:
    before = content(two)
    archive(two, EXPERIMENT, tmp_path / "archive", keep=True, progress=QUIET)
    assert content(two) == before
    other = Store(Home(tmp_path / "other"))
    restore(other, tmp_path / "archive", QUIET)
    mine = {name: [row for row in rows if EXPERIMENT in row] for name, rows in before.items()}
    assert {name: rows for name, rows in content(other).items() if name != "prompts"} == {
        name: rows for name, rows in mine.items() if name != "prompts"
    }
    assert deep_check(other, EXPERIMENT, None, QUIET) == []


def test_archive_brings_prompts_that_no_attempt_cites(world: Store, tmp_path: Path) -> None:
    tables = {"rationales": [], "prompts": [{"prompt_hash": "long", "text": "fills the context"}]}
    commit_rows(world, "regenerate", 1, tables)
    archive(world, EXPERIMENT, tmp_path / "archive", keep=True, progress=QUIET)
    other = Store(Home(tmp_path / "other"))
    restore(other, tmp_path / "archive", QUIET)
    assert ("long", "fills the context") in content(other)["prompts"]


def test_rebuild_passes_over_what_was_archived_and_repeats_what_was_restored(
    two: Store, tmp_path: Path
) -> None:
    archive(two, EXPERIMENT, tmp_path / "archive", keep=False, progress=QUIET)
    for stored in (content(two), None):
        if stored is None:
            restore(two, tmp_path / "archive", QUIET)
            stored = content(two)
        two.home.store_path.unlink()
        assert rebuild(two.home, two.home.store_path, QUIET).left_out == []
        assert content(Store(two.home)) == stored


def test_archive_twice_is_as_archive_once(two: Store, tmp_path: Path) -> None:
    archive(two, EXPERIMENT, tmp_path / "first", keep=False, progress=QUIET)
    restore(two, tmp_path / "first", QUIET)
    archive(two, EXPERIMENT, tmp_path / "second", keep=False, progress=QUIET)
    first, second = (
        json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("first", "second")
    )
    assert first["files"] == second["files"]
    assert [table["rows"] for table in first["tables"]] == [table["rows"] for table in second["tables"]]


def test_archive_refuses_a_running_experiment_and_one_that_a_fork_stands_on(
    world: Store, tmp_path: Path
) -> None:
    target = tmp_path / "archive"
    with (
        world.lease(EXPERIMENT, "star stage generate", scope="1/generate/0"),
        pytest.raises(LeaseHeldError, match="star stage generate by process"),
    ):
        archive(world, EXPERIMENT, target, keep=False, progress=QUIET)
    world.fork(EXPERIMENT, "sums-b", 1)
    with pytest.raises(StoreError, match="sums-b was forked from it"):
        archive(world, EXPERIMENT, target, keep=False, progress=QUIET)
    assert not target.exists()
    before = content(world)
    archive(world, "sums-b", target, keep=False, progress=QUIET)
    archive(world, EXPERIMENT, tmp_path / "source", keep=False, progress=QUIET)
    assert content(world)["commits"] == []
    restore(world, target, QUIET)  # its source is away: the archive holds the shard files of both
    assert deep_check(world, "sums-b", None, QUIET) == []
    restore(world, tmp_path / "source", QUIET)
    assert content(world) == before


class Meanwhile(LogProgress):
    """What somebody does while the archive is written: once its last table is."""

    def __init__(self, do: Callable[[], object]) -> None:
        super().__init__(io.StringIO())
        self.do = do

    def task(self, title: str, total: int | None, unit: str = "") -> AbstractContextManager[Task]:
        if title.startswith("files of"):
            self.do()
        return super().task(title, total, unit)


def test_archive_of_what_changes_meanwhile_removes_nothing(two: Store, tmp_path: Path) -> None:
    (flag,) = two.rows("flags_of_attempt", experiment=EXPERIMENT, rationale_id="g1")
    for number, (do, said) in enumerate(
        [
            (lambda: two.flag(EXPERIMENT, "r2", kind="exclude", author="eve"), "changed while .*flags"),
            (lambda: two.withdraw_flag(flag["flag_id"], author="eve"), "changed while .*flags"),
            (lambda: two.fork(EXPERIMENT, "sums-b", 1), "sums-b was forked from it"),
        ]
    ):
        target = tmp_path / str(number)
        with pytest.raises(StoreError, match=said):
            archive(two, EXPERIMENT, target, keep=False, progress=Meanwhile(do))
        assert two.rows("experiment", experiment=EXPERIMENT) and files_below(two.home.experiment(EXPERIMENT))
    assert deep_check(two, EXPERIMENT, None, QUIET) == deep_check(two, "sums-b", None, QUIET) == []


def test_removal_whose_commit_fails_is_none_for_a_rebuild(two: Store) -> None:
    before = content(two)
    log = two.home.store_path.with_name("star.duckdb.wal")
    with pytest.raises(StoreError, match="Failed to commit"):
        two.remove(EXPERIMENT, lambda connection: log.mkdir())  # where COMMIT writes to
    log.rmdir()
    assert content(two) == before
    two.home.store_path.unlink()
    assert rebuild(two.home, two.home.store_path, QUIET).left_out == []
    assert content(Store(two.home)) == before


def test_rebuild_after_a_removal_that_was_not_noted_loses_nothing(two: Store, tmp_path: Path) -> None:
    before, journal = content(two), two.home.root / JOURNAL
    noted = journal.read_bytes()
    archive(two, EXPERIMENT, tmp_path / "archive", keep=False, progress=QUIET)
    journal.write_bytes(noted)  # as after a kill between COMMIT and the line
    restore(two, tmp_path / "archive", QUIET)
    two.flag(EXPERIMENT, "r2", kind="exclude", author="eve")
    after = content(two)
    assert after["rationales"] == before["rationales"]
    two.home.store_path.unlink()
    assert rebuild(two.home, two.home.store_path, QUIET).left_out == []
    assert content(Store(two.home)) == after


def test_restore_of_a_fork_whose_source_wrote_its_file_anew_brings_the_old_one(
    world: Store, tmp_path: Path
) -> None:
    again = {"verdicts": [{**verdict("g1", "correct", elapsed_ms=1.0), "decides": False}]}
    commit_rows(world, "regrade-x", 1, again)
    world.fork(EXPERIMENT, "sums-b", 1)
    before = content(world)
    archive(world, "sums-b", tmp_path / "fork", keep=False, progress=QUIET)
    again["verdicts"][0]["elapsed_ms"] = 2.0
    commit_rows(world, "regrade-x", 1, again, force=True)  # to the same place

    restore(world, tmp_path / "fork", QUIET)
    after = content(world)
    assert [row for row in after["verdicts"] if "sums-b" in row] == [
        row for row in before["verdicts"] if "sums-b" in row
    ]
    assert deep_check(world, EXPERIMENT, None, QUIET) == deep_check(world, "sums-b", None, QUIET) == []
    archive(world, "sums-b", tmp_path / "again", keep=False, progress=QUIET)
    restore(world, tmp_path / "again", QUIET)
    assert content(world) == after
    world.home.store_path.unlink()
    rebuild(world.home, world.home.store_path, QUIET)
    rebuilt = content(Store(world.home))
    assert [row for row in rebuilt["commits"] if "sums-b" in row] == [
        row for row in after["commits"] if "sums-b" in row
    ]
    assert deep_check(Store(world.home), "sums-b", None, QUIET) == []


def test_archive_with_a_busy_history_keeps_what_was_replaced(world: Store, tmp_path: Path) -> None:
    busy(world)
    before = content(world)
    archive(world, "sums-b", tmp_path / "fork", keep=False, progress=QUIET)
    archive(world, EXPERIMENT, tmp_path / "archive", keep=False, progress=QUIET)
    restore(world, tmp_path / "archive", QUIET)
    restore(world, tmp_path / "fork", QUIET)
    assert content(world) == before


def test_archive_does_not_write_over_anything(world: Store, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(StoreError, match="holds something already"):
        archive(world, EXPERIMENT, tmp_path / "full", keep=False, progress=QUIET)
    with pytest.raises(StoreError, match="lies in the folder that is archived"):
        archive(world, EXPERIMENT, world.home.experiment(EXPERIMENT) / "a", keep=False, progress=QUIET)


def test_restore_refuses_a_manifest_that_names_other_places_or_tables(world: Store, tmp_path: Path) -> None:
    whole = tmp_path / "archive"
    archive(world, EXPERIMENT, whole, keep=False, progress=QUIET)
    (tmp_path / "site.yaml").write_text("secret")
    linked = next(whole.rglob("generate/**/rationales.parquet"))
    manifest = json.loads((whole / "manifest.json").read_text())
    inserted = "rationales BY NAME SELECT * FROM rationales; DROP TABLE flags; --"
    names: list[tuple[str, dict[str, str], str]] = [
        ("tables", {"table": inserted}, "expected a table of experiments"),
        ("tables", {"table": inserted, "path": f"tables/{inserted}.parquet"}, "expected a table"),
        ("tables", {"table": "store_info", "path": "tables/store_info.parquet"}, "expected a table"),
        ("tables", {"table": "../../../x", "path": "tables/../../../x.parquet"}, "expected a table"),
        ("tables", {"path": "../site.yaml"}, "at tables/TABLE.parquet"),
        ("files", {"path": "site.yaml"}, "below experiments/"),
        ("files", {"path": "experiments/../site.yaml"}, "below experiments/"),
        ("files", {"path": "/etc/passwd"}, "below experiments/"),
        ("files", {"path": str(linked.relative_to(whole / "files"))}, "a link that leaves the archive"),
    ]
    linked.unlink()
    linked.symlink_to(tmp_path / "site.yaml")
    empty, files = content(world), files_below(world.home.root)
    for list_name, replaced, said in names:
        first, *others = manifest[list_name]
        changed = {**manifest, list_name: [{**first, **replaced}, *others]}
        (whole / "manifest.json").write_text(json.dumps(changed))
        with pytest.raises(DataError, match=said) as raised:
            restore(world, whole, QUIET)
        assert json.dumps(next(iter(replaced.values()))) in str(raised.value)
        assert content(world) == empty
        assert {name for name in files_below(world.home.root)} == set(files)


@pytest.mark.parametrize("part", ["", "tables", "files"])
def test_restore_of_a_manifest_without_a_key_names_file_and_key(
    world: Store, tmp_path: Path, part: str
) -> None:
    archive(world, EXPERIMENT, tmp_path / "archive", keep=False, progress=QUIET)
    path = tmp_path / "archive" / "manifest.json"
    whole, empty = path.read_text(), content(world)
    keys = (json.loads(whole)[part][0] if part else json.loads(whole)).keys() - {"archived_at"}
    for key in keys:
        manifest = json.loads(whole)
        del (manifest[part][0] if part else manifest)[key]
        path.write_text(json.dumps(manifest))
        with pytest.raises(DataError, match=f"{path} is damaged: .* has no '{key}'.*take another copy"):
            restore(world, path.parent, QUIET)
        assert content(world) == empty
    path.write_text("[1]")
    with pytest.raises(DataError, match=rf"{path} is damaged: it is \[1\], expected an object"):
        restore(world, path.parent, QUIET)


def test_store_loads_a_restored_file_into_tables_of_experiments_only(world: Store) -> None:
    file = {"table": "store_info", "path": "experiments/x/store_info.parquet", "sha256": "0", "rows": 1}
    with pytest.raises(StoreError, match="'store_info' is no table of experiments"):
        world.restore("x", [file])


def test_restore_of_a_damaged_archive_names_the_file_and_changes_no_table(
    world: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "archive"
    archive(world, EXPERIMENT, folder, keep=False, progress=QUIET)
    shutil.copytree(folder, tmp_path / "whole")
    damaged = next(folder.rglob("generate/**/rationales.parquet"))
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    empty = content(world)
    with pytest.raises(DataError, match=f"{damaged} is damaged"):
        restore(world, folder, QUIET)
    (folder / "tables" / "verdicts.parquet").unlink()
    damaged.write_bytes(files_below(tmp_path / "whole")[str(damaged.relative_to(folder))])
    with pytest.raises(DataError, match=r"the archive lacks .*verdicts\.parquet"):
        restore(world, folder, QUIET)
    with pytest.raises(DataError, match="is no archive"):
        restore(world, tmp_path, QUIET)
    assert content(world) == empty
    restore(world, tmp_path / "whole", QUIET)  # goes on with the files that were put back already
    with pytest.raises(StoreError, match="is in the store"):
        restore(world, tmp_path / "whole", QUIET)
