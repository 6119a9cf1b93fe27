"""train.replay: general rows beside a round's own, drawn by seed, with counts, checks and lineage that add up."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.engines.tokenizer import load_tokenizer
from pipeline.errors import DataError
from pipeline.export import export_training
from pipeline.store.checks import run_checks
from tests.stages.conftest import Lab, right

ROWS = "select round, rationale_id, prompt, completion, input_ids, labels from current_training_rows "
REPLAYED = f"{ROWS} where origin = 'replay' order by all"


def _general(lab: Lab, rows: list[Any]) -> None:
    """The file of general rows; a script whose every round keeps six rows of its own."""
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    (lab.folder / "general.jsonl").write_text("".join(f"{line}\n" for line in lines))
    for index in range(6):
        lab.says(f"p{index}", [right(2 * index)])


def _replay(share: float = 0.4) -> str:
    return f"train.replay={{path: general.jsonl, share: {share}}}"


PAIRS = [
    {"prompt": f"Say {word}:", "completion": f" {word}"} for word in ("one", "two", "three", "four", "five")
]


def test_replay_rows_make_their_share_and_carry_loss_on_the_completion(lab: Lab) -> None:
    _general(lab, PAIRS)
    lab.run(_replay(), until="select")
    rows = lab.rows(REPLAYED)
    assert len(rows) == 4 and lab.rows("select count(*) from current_training_rows") == [(10,)]
    tokenizer = load_tokenizer(lab.base, chat=False)
    for _, _, prompt, completion, ids, labels in rows:
        asked, said = tokenizer.encode_prompt(prompt), tokenizer.encode_completion(completion)
        assert ids == [*asked, *said, tokenizer.end_id]
        assert labels == [-100] * len(asked) + [*said, tokenizer.end_id]


def test_replay_text_carries_loss_on_all_that_something_predicts(lab: Lab) -> None:
    _general(lab, [{"text": "The sea is wide."}])
    lab.run(_replay(), until="select")
    [(_, _, prompt, completion, ids, labels)] = lab.rows(REPLAYED)
    tokenizer = load_tokenizer(lab.base, chat=False)
    assert (prompt, completion) == ("", "The sea is wide.")
    assert ids[-1] == tokenizer.eos_id and labels == [-100, *ids[1:]]


@pytest.mark.slow
def test_replay_draws_anew_each_round_and_reuses_none(lab: Lab) -> None:
    _general(lab, [{"text": f"General text number {index}."} for index in range(40)])
    settings = ("rounds=2", "select.reuse_rounds=all", "select.duplicates=true", _replay(0.5))
    lab.run(*settings)
    drawn = {round_: {row[1] for row in lab.rows(REPLAYED) if row[0] == round_} for round_ in (1, 2)}
    assert (len(drawn[1]), len(drawn[2])) == (6, 12)
    assert drawn[1] - drawn[2]
    summary = lab.rows(
        "select round, training_rows, reused_rows, replay_rows from rounds_summary where round > 0"
    )
    assert sorted(summary) == [(1, 12, 0, 6), (2, 24, 6, 12)]
    lineage = lab.rows(
        "select round, rows, generated_rows, replay_rows, problems from checkpoint_lineage order by round"
    )
    assert lineage == [(1, 12, 6, 6, 6), (2, 24, 12, 12, 6)]
    assert run_checks(lab.store, "lab") == []
    counts = export_training(lab.store, "lab", 2, lab.folder / "export")
    assert (counts.rows, counts.left_out["replay"]) == (12, 12)


def test_replay_leaves_the_own_rows_as_they_are(lab: Lab) -> None:
    _general(lab, PAIRS)
    lab.run(_replay(), name="beside", until="select")
    lab.run(name="without", until="select")
    own = "select problem_id, completion, input_ids from current_training_rows where experiment = '{}' and origin <> 'replay' order by all"
    assert lab.rows(own.format("beside")) == lab.rows(own.format("without")) != []


def test_replay_row_that_is_too_long_or_held_out_is_passed_over_and_counted(lab: Lab) -> None:
    rows = [{"text": "word " * 200}, {"prompt": "What is 2 + 3?", "completion": " 5"}, {"text": "Fine."}]
    _general(lab, rows)
    lab.run(_replay(), "train.max_length=100", until="select")
    assert [row[3] for row in lab.rows(REPLAYED)] == ["Fine."]
    [(summary,)] = lab.rows("select summary from stage_runs where stage = 'select'")
    assert "6 generated, 1 replay" in summary
    assert "replay rows passed over: " in summary
    assert "1 row_too_long" in summary and "1 contaminated" in summary


def test_replay_adds_nothing_to_a_round_that_kept_nothing(lab: Lab) -> None:
    _general(lab, PAIRS)
    for index in range(6):
        lab.says(f"p{index}", [right(1000)])
    lab.run(_replay(), until="select")
    assert lab.rows("select count(*) from training_rows") == [(0,)]


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ({"prompt": "alone"}, "has 'prompt'; expected prompt and completion, or text"),
        ({"text": "x", "prompt": "y", "completion": "z"}, "expected prompt and completion, or text"),
        ({"text": 3}, "text is 3; expected text"),
        ("{broken", "not valid JSON"),
    ],
)
def test_replay_bad_row_says_its_line_before_anything_is_generated(lab: Lab, bad: Any, told: str) -> None:
    _general(lab, [{"text": "fine"}, bad])
    with pytest.raises(DataError, match="general.jsonl line 2: ") as caught:
        lab.run(_replay(), until="prepare")
    assert told in str(caught.value)
