"""Preference pairs: which, how many of a problem, in what order, and what is said of the problems without."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.errors import ConfigError, NotReadyError
from pipeline.export import Layout, export_preferences
from pipeline.paths import Home
from pipeline.store import Store
from tests.export.conftest import MANY
from tests.stages.conftest import Lab, right, text_base  # noqa: F401

PROBLEMS = 7


def exported(store: Store, to: Path, *, chat: bool = False, **how: int) -> list[dict[str, Any]]:
    export_preferences(store, MANY, 1, to, Layout(chat=chat, force=True), **how)
    rows: list[dict[str, Any]] = pq.read_table(to / "data" / "train.parquet").to_pylist()
    return rows


def pairs_of(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(row["chosen_id"], row["rejected_id"]) for row in rows]


def test_a_pair_is_a_kept_and_a_wrong_text_of_one_problem_after_its_canonical_prompt(
    many: Store, tmp_path: Path
) -> None:
    rows = exported(many, tmp_path / "out", pairs=9)
    fates = {
        row["rationale_id"]: row
        for row in many.stream("export_rationales", experiment=MANY, round=1, split="train")
    }
    for row in rows:
        chosen, rejected = fates[row["chosen_id"]], fates[row["rejected_id"]]
        assert (chosen["fate"], chosen["outcome"], rejected["outcome"]) == ("kept", "correct", "wrong")
        assert chosen["problem_id"] == rejected["problem_id"] == row["problem_id"]
        assert row["prompt"] == f"Q: {row['question']}\nA:"
        assert (row["chosen"], row["rejected"]) == (f" {chosen['text']}", f" {rejected['text']}")
        assert row["rejected_answer"] == rejected["answer"] != row["answer"]
    assert [row["chosen_origin"] for row in rows if row["problem_id"] == "p4"] == ["rationalized"] * 2


@pytest.mark.parametrize(
    ("pairs", "of_problems", "left_out"),
    [
        (1, {"p0": 1, "p1": 1, "p4": 1}, {}),
        (2, {"p0": 2, "p1": 2, "p4": 2}, {}),
        (5, {"p0": 5, "p1": 4, "p4": 2}, {"too_few_texts": 1 + 3}),
        (9, {"p0": 6, "p1": 4, "p4": 2}, {"too_few_texts": 3 + 5 + 7}),
    ],
)
def test_pairs_of_problems_and_pairs_they_lack_add_up_to_those_asked_for(
    many: Store, tmp_path: Path, pairs: int, of_problems: dict[str, int], left_out: dict[str, int]
) -> None:
    counts = export_preferences(many, MANY, 1, tmp_path / "out", pairs=pairs)
    rows = pq.read_table(tmp_path / "out" / "data" / "train.parquet").to_pylist()
    assert Counter(row["problem_id"] for row in rows) == of_problems
    assert counts.left_out == {
        "none_wrong": pairs,  # p2
        "none_kept": pairs,  # p3
        "none_kept_and_none_wrong": pairs,  # p5
        "not_attempted": pairs,  # p6
        **left_out,
    }
    table = counts.table()
    assert table["rows considered"] == pairs * PROBLEMS == table["rows"] + counts.left_out.total()
    card = (tmp_path / "out" / "README.md").read_text()
    for name, number in table.items():
        assert f"| {name} | {number:,} |" in card


def test_every_text_has_its_turn_before_one_stands_in_a_second_pair(many: Store, tmp_path: Path) -> None:
    p0 = [row for row in exported(many, tmp_path / "out", pairs=3) if row["problem_id"] == "p0"]
    assert len({row["chosen_id"] for row in p0}) == 3
    assert sorted(Counter(row["rejected_id"] for row in p0).values()) == [1, 2]
    all_of_p0 = [row for row in exported(many, tmp_path / "out", pairs=9) if row["problem_id"] == "p0"]
    assert len(set(pairs_of(all_of_p0))) == 6


def test_the_seed_draws_the_pairs_and_nothing_else_does(many: Store, tmp_path: Path) -> None:
    first = exported(many, tmp_path / "out")
    assert first == exported(many, tmp_path / "out", seed=0)
    drawn = {tuple(pairs_of(exported(many, tmp_path / "out", seed=seed))) for seed in range(8)}
    assert len(drawn) > 1


def test_chat_pairs_have_one_user_turn_and_the_two_answers_to_it(many: Store, tmp_path: Path) -> None:
    plain = exported(many, tmp_path / "out")
    for row, same in zip(exported(many, tmp_path / "out", chat=True), plain, strict=True):
        assert row["prompt"] == [{"role": "user", "content": same["prompt"]}]
        assert row["chosen"] == [{"role": "assistant", "content": same["chosen"].removeprefix(" ")}]
        assert row["rejected"] == [{"role": "assistant", "content": same["rejected"].removeprefix(" ")}]


def test_a_text_that_somebody_flagged_stands_in_no_pair(many: Store, tmp_path: Path) -> None:
    shutil.copytree(many.home.root, tmp_path / "home")
    store = Store(Home(tmp_path / "home"))
    before = {row["problem_id"]: row for row in exported(store, tmp_path / "out")}
    store.flag(MANY, before["p4"]["chosen_id"], kind="exclude", author="ann")
    for row in exported(store, tmp_path / "out", pairs=9):
        if row["problem_id"] == "p1":
            store.flag(MANY, row["rejected_id"], kind="wrong_verdict", author="ann")
    after = export_preferences(store, MANY, 1, tmp_path / "after")
    assert after.rows == 1  # of p0
    assert (after.left_out["none_kept"], after.left_out["none_wrong"]) == (2, 2)


def test_an_unfiltered_control_has_wrong_texts_among_its_kept_ones_and_none_is_chosen(
    many: Store, tmp_path: Path
) -> None:
    shutil.copytree(many.home.root, tmp_path / "home")
    store = Store(Home(tmp_path / "home"))
    with store.transaction() as connection:
        connection.execute("UPDATE verdicts SET outcome = 'wrong'")
    with pytest.raises(NotReadyError, match="has both a kept and a wrong text in round 1"):
        export_preferences(store, MANY, 1, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_kept_text_that_was_cut_off_is_not_chosen_and_its_problem_has_none_kept(
    tmp_path: Path,
    text_base: Path,  # noqa: F811
) -> None:
    lab = Lab(tmp_path, text_base, train=2, dev=1)
    lab.says("p0", [right(0), right(7)])
    lab.says("p1", [right(2), right(7)], finish="length")
    lab.run("select.cut_off=true", name=MANY, until="select")
    kept = "select problem_id from current_training_rows order by problem_id"
    assert lab.rows(kept) == [("p0",), ("p1",)]
    counts = export_preferences(lab.store, MANY, 1, tmp_path / "out")
    assert (counts.rows, dict(counts.left_out)) == (1, {"none_kept_and_none_wrong": 1})
    assert counts.considered == 2


@pytest.mark.slow
def test_pairs_of_all_rounds_join_texts_of_different_rounds(finished: Path, tmp_path: Path) -> None:
    counts = export_preferences(Store(Home(finished / "home")), "sums", None, tmp_path / "out", pairs=4)
    rows = pq.read_table(tmp_path / "out" / "data" / "train.parquet").to_pylist()
    assert {row["problem_id"] for row in rows} == {"p1", "p2"}
    assert counts.considered == 4 * 6
    assert len(set(pairs_of(rows))) == len(rows)


def test_fewer_than_one_pair_a_problem_is_refused(many: Store, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="0 pairs a problem: expected at least 1"):
        export_preferences(many, MANY, 1, tmp_path / "out", pairs=0)
