"""Flags of people: who, when, what for; taken back without being erased; rebuilt and forked with the rest."""

from pathlib import Path

import pytest

from pipeline.errors import ConfigError, NotReadyError, StoreError
from pipeline.paths import Home
from pipeline.store import Store
from pipeline.store.maintenance import rebuild
from tests.store.known_rows import EXPERIMENT
from tests.store.test_maintenance import QUIET

ALL = "select rationale_id, kind, author, note, withdrawn_by from flags order by created_at"


def some_attempt(store: Store) -> str:
    rows = store.query_readonly(
        "select rationale_id from rationales where experiment = ? and round = 1 and not superseded order by 1",
        [EXPERIMENT],
    )[1]
    return str(rows[0][0])


def test_flag_records_who_said_what_and_when(world: Store) -> None:
    attempt = some_attempt(world)
    world.flag(EXPERIMENT, attempt, kind="exclude", author="Anna  Bo", note=" a guess ")
    (row,) = world.rows("flags_of_attempt", experiment=EXPERIMENT, rationale_id=attempt)
    assert (row["kind"], row["author"], row["note"]) == ("exclude", "Anna Bo", "a guess")
    assert row["created_at"] is not None and row["round"] == 1 and row["withdrawn_at"] is None
    (flagged,) = world.rows("flags_of_selection", experiment=EXPERIMENT, round=1)
    assert flagged["flagged"] == "excluded by Anna Bo: a guess" and flagged["problem_id"] == row["problem_id"]


def test_flag_twice_by_the_same_person_is_one_and_two_people_are_two(world: Store) -> None:
    attempt = some_attempt(world)
    for author in ("anna", "anna", "bo"):
        world.flag(EXPERIMENT, attempt, kind="wrong_verdict", author=author)
    assert [row[2] for row in world.query_readonly(ALL)[1]] == ["anna", "bo"]


def test_flag_taken_back_counts_no_more_and_stays_on_record(world: Store) -> None:
    attempt = some_attempt(world)
    world.flag(EXPERIMENT, attempt, kind="exclude", author="anna")
    (row,) = world.rows("flags_of_attempt", experiment=EXPERIMENT, rationale_id=attempt)
    world.withdraw_flag(row["flag_id"], author="bo")
    assert world.rows("flags_of_selection", experiment=EXPERIMENT, round=1) == []
    assert world.query_readonly(ALL)[1] == [(attempt, "exclude", "anna", "", "bo")]
    world.flag(EXPERIMENT, attempt, kind="exclude", author="anna")
    assert len(world.query_readonly(ALL)[1]) == 2


def test_flags_are_rebuilt_from_the_journal(world: Store, tmp_path: Path) -> None:
    attempt = some_attempt(world)
    world.flag(EXPERIMENT, attempt, kind="exclude", author="anna")
    (row,) = world.rows("flags_of_attempt", experiment=EXPERIMENT, rationale_id=attempt)
    world.withdraw_flag(row["flag_id"], author="bo")
    world.flag(EXPERIMENT, attempt, kind="wrong_verdict", author="anna", note="the sum is right")
    original = world.query_readonly("select * from flags order by all")[1]
    anew = Home(tmp_path / "anew")
    anew.root.mkdir()
    assert rebuild(world.home, anew.store_path, QUIET).left_out == []
    assert Store(anew).query_readonly("select * from flags order by all")[1] == original


def test_flags_go_with_a_fork(world: Store) -> None:
    attempt = some_attempt(world)
    world.flag(EXPERIMENT, attempt, kind="exclude", author="anna")
    world.fork(EXPERIMENT, "other", 1)
    assert len(world.rows("flags_of_selection", experiment="other", round=1)) == 1


def test_flag_of_an_unknown_attempt_kind_or_nobody_is_refused(world: Store) -> None:
    attempt = some_attempt(world)
    with pytest.raises(NotReadyError, match="not a current one"):
        world.flag(EXPERIMENT, "nothing", kind="exclude", author="anna")
    with pytest.raises(ConfigError, match="expected one of wrong_verdict, exclude"):
        world.flag(EXPERIMENT, attempt, kind="delete", author="anna")
    with pytest.raises(ConfigError, match="author"):
        world.flag(EXPERIMENT, attempt, kind="exclude", author="  ")
    with pytest.raises(StoreError, match="not in the store"):
        world.withdraw_flag("nothing", author="anna")
    assert world.query_readonly(ALL)[1] == []
