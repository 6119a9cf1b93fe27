"""Rows held out by problem say when training stops to help; the weights that did best on them are kept."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from pipeline.config.experiment import TrainConfig
from pipeline.engines.weights import hash_model
from pipeline.training import TrainSpec
from pipeline.training.fine_tune import fine_tune
from pipeline.training.held_out import held_out_problems
from tests.training.conftest import END_ID

Spec = Callable[..., TrainSpec]


def test_held_out_problems_are_a_share_of_the_problems_by_seed_whatever_their_rows():
    ids = [f"p{number}" for number in range(40)] * 3
    drawn = held_out_problems(ids, 0.1, seed=0)
    assert len(drawn) == 4 and drawn <= set(ids)
    assert drawn == held_out_problems(reversed(ids), 0.1, seed=0)
    assert drawn != held_out_problems(ids, 0.1, seed=1)
    assert len(drawn & held_out_problems([*ids, "new"], 0.1, seed=0)) >= 3


@pytest.mark.parametrize(
    ("problems", "share", "held"), [(1, 0.5, 0), (2, 0.01, 1), (2, 0.99, 1), (3, 0.5, 2)]
)
def test_held_out_problems_are_at_least_one_and_never_all(problems: int, share: float, held: int):
    assert len(held_out_problems([str(number) for number in range(problems)], share, 0)) == held


def test_patience_without_held_out_rows_is_refused():
    with pytest.raises(ValidationError, match=r"train\.patience is about held-out rows, and there are none"):
        TrainConfig(patience=2)


@pytest.fixture
def apart(tmp_path: Path) -> Path:
    """Held-out rows that contradict the training rows after the first few steps: words that are never right."""
    path = tmp_path / "held_out.parquet"
    rows = [[word, 3, 2, 2, END_ID] for word in range(8, 16)]
    labelled = [{"input_ids": row, "labels": [-100, -100, *row[2:]]} for row in rows]
    pq.write_table(pa.Table.from_pylist(labelled), path)
    return path


def trained(spec: TrainSpec) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    events: list[dict[str, Any]] = []
    spec.output.mkdir(parents=True)
    states = spec.output.with_name("states")
    facts = fine_tune(
        spec, spec.output, states, lambda event, **fields: events.append({"event": event, **fields})
    )
    return facts, events


def test_training_stops_when_held_out_rows_no_longer_improve_and_keeps_the_best_weights(
    spec_for: Spec, apart: Path, tmp_path: Path
):
    settings = {"steps": 60, "max_epochs": 100, "learning_rate": 1e-2, "held_out": 0.1, "evaluate_every": 2}
    spec = replace(spec_for(**settings, patience=3, warmup_ratio=0.0), held_out_path=apart)
    facts, events = trained(spec)
    losses = facts["held_out_losses"]
    assert losses == [[event["step"], event["loss"]] for event in events if event["event"] == "held_out"]
    assert [step for step, _ in losses] == list(range(2, losses[-1][0] + 1, 2))
    best, _ = min(losses, key=lambda pair: pair[1])
    assert facts["best_step"] == best
    assert facts["steps"] == losses[-1][0] == best + 3 * 2 < 60
    assert facts["tokens"] == [event for event in events if event["event"] == "step"][-1]["tokens"]

    # The weights are those of the best step: measured again they give its loss.
    assert hash_model(spec.output) != hash_model(spec.start_path)
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(spec.output).eval()
    held = pq.read_table(apart).to_pydict()
    with torch.no_grad():
        loss = model(torch.tensor(held["input_ids"]), labels=torch.tensor(held["labels"])).loss
    assert float(loss) == pytest.approx(min(value for _, value in losses), abs=1e-5)


def test_training_without_patience_runs_to_its_end_and_measures_the_last_step(spec_for: Spec, rows: Path):
    spec = replace(spec_for(steps=7, held_out=0.1, evaluate_every=3), held_out_path=rows)
    facts, _ = trained(spec)
    assert [step for step, _ in facts["held_out_losses"]] == [3, 6, 7]
    assert facts["steps"] == facts["best_step"] == 7
