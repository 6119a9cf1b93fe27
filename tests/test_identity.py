"""Digests and seeds: what changes them, and what must not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.identity import (
    canonical_json,
    combine_digests,
    digest,
    norm_hash,
    rationale_id,
    rows_digest,
    seed_of,
    tree_hash,
)

ROWS = [{"a": 1, "seconds": 0.1}, {"a": 2, "seconds": 0.2}, {"a": 2, "seconds": 0.3}]


def test_rows_digest_in_any_order_and_any_split_is_the_same() -> None:
    whole = rows_digest(ROWS)
    assert rows_digest(reversed(ROWS)) == whole
    assert combine_digests([rows_digest(ROWS[:1]), rows_digest(ROWS[1:])]) == whole


def test_rows_digest_leaves_out_times_but_counts_repeated_rows() -> None:
    leave_out = frozenset({"seconds"})
    slower = [{**row, "seconds": 9.0} for row in ROWS]
    assert rows_digest(slower, leave_out) == rows_digest(ROWS, leave_out)
    assert rows_digest(ROWS[:2], leave_out) != rows_digest(ROWS, leave_out)


@given(st.dictionaries(st.text(), st.one_of(st.integers(), st.text(), st.booleans(), st.none()), max_size=5))
def test_digest_does_not_depend_on_the_order_of_keys(value: dict[str, object]) -> None:
    backwards = dict(reversed(list(value.items())))
    assert digest(backwards) == digest(value)


def test_canonical_json_refuses_not_a_number() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        canonical_json({"x": float("nan")})


def test_seed_of_every_part_matters_and_fits_63_bits() -> None:
    seeds = {
        seed_of(0, 1, "generated", "p1", 0),
        seed_of(1, 1, "generated", "p1", 0),
        seed_of(0, 2, "generated", "p1", 0),
        seed_of(0, 1, "rationalized", "p1", 0),
        seed_of(0, 1, "generated", "p2", 0),
        seed_of(0, 1, "generated", "p1", 1),
    }
    assert len(seeds) == 6
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_rationale_id_changes_with_each_of_its_inputs() -> None:
    def make(**changes: object) -> str:
        inputs = {
            "experiment": "a", "round_": 1, "origin": "generated", "problem_id": "p", "sample": 0,
            "prompt_hash": "h", "sampling": {"temperature": 1.0}, "seed": 5, "model_hash": "m",
        }  # fmt: skip
        return rationale_id(**{**inputs, **changes})  # type: ignore[arg-type]

    changed = [
        make(experiment="b"), make(round_=2), make(origin="rationalized"), make(problem_id="q"), make(sample=1),
        make(prompt_hash="i"), make(sampling={"temperature": 0.5}), make(seed=6), make(model_hash="n"),
    ]  # fmt: skip
    assert len({make(), *changed}) == 10
    assert make() == make()


def test_norm_hash_ignores_case_and_spaces_only() -> None:
    assert norm_hash(" A  b\nc ") == norm_hash("a b C")
    assert norm_hash("ab c") != norm_hash("a b c")


def test_tree_hash_follows_content_and_names_not_the_folder(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "config.json").write_text("{}")
    assert tree_hash(tmp_path / "one", ["config.json"]) == tree_hash(tmp_path / "two", ["config.json"])
    (tmp_path / "two" / "config.json").write_text("{ }")
    assert tree_hash(tmp_path / "one", ["config.json"]) != tree_hash(tmp_path / "two", ["config.json"])
