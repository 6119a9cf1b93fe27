"""Saved states are whole by their manifest or passed over; a training that goes on ends as one left alone."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.training import TrainSpec
from pipeline.training.fine_tune import fine_tune
from pipeline.training.states import MANIFEST, keep_only, newest_intact, seal, states_in, step_of

Spec = Callable[..., TrainSpec]
EACH_STEP = 1e-6
"""Minutes: a state after every step."""


def state(folder: Path, step: int, best: int | None = None) -> Path:
    made = folder / f"checkpoint-{step}"
    made.mkdir(parents=True)
    (made / "model.safetensors").write_bytes(b"weights of step %d" % step)
    (made / "trainer_state.json").write_text(json.dumps({"best_global_step": best}))
    seal(made)
    return made


def found(folder: Path) -> tuple[Path | None, list[str]]:
    passed_over: list[str] = []
    newest = newest_intact(folder, lambda _state, problem: passed_over.append(problem))
    return newest, passed_over


def test_newest_intact_is_by_step_and_none_where_nothing_was_saved(tmp_path: Path):
    assert found(tmp_path / "absent") == (None, [])
    for step in (9, 10, 2):
        state(tmp_path, step)
    assert found(tmp_path) == (tmp_path / "checkpoint-10", [])


def test_newest_intact_passes_over_what_was_cut_short_changed_or_lost(tmp_path: Path):
    good, changed, short, lost = (state(tmp_path, step) for step in (1, 2, 3, 4))
    (changed / "model.safetensors").write_bytes(b"weights of step 9")
    (short / MANIFEST).unlink()
    (lost / "model.safetensors").unlink()
    assert found(tmp_path) == (
        good,
        [
            "checkpoint-4/model.safetensors is not what was saved",
            "checkpoint-3 has no readable manifest.json: it was cut short",
            "checkpoint-2/model.safetensors is not what was saved",
        ],
    )


def test_newest_intact_stands_only_with_the_best_that_it_cites(tmp_path: Path):
    best = state(tmp_path, 4, best=4)
    newest = state(tmp_path, 6, best=4)
    assert found(tmp_path) == (newest, [])
    (best / "model.safetensors").write_bytes(b"other weights")
    assert found(tmp_path)[0] is None


def test_keep_only_removes_all_other_states(tmp_path: Path):
    for step in (1, 2, 3):
        state(tmp_path, step)
    keep_only(tmp_path, tmp_path / "checkpoint-3", tmp_path / "checkpoint-1", None)
    assert sorted(step_of(item) for item in states_in(tmp_path)) == [1, 3]


class Killed(BaseException):
    """Stands for the end of the process."""


def test_fine_tune_goes_on_from_its_newest_intact_state_to_the_same_weights(spec_for: Spec, tmp_path: Path):
    from pipeline.engines.weights import hash_model

    settings = {"steps": 12, "micro_batch_size": 4, "save_every": EACH_STEP}
    settings["lora"] = {"r": 4, "alpha": 8, "dropout": 0.2}  # dropout draws random numbers in every step
    whole, killed = spec_for(output="whole", **settings), spec_for(output="killed", **settings)
    told: list[dict[str, object]] = []

    def say(event: str, **fields: object) -> None:
        told.append({"event": event, **fields})
        if event == "step" and fields["step"] == 8 and len(told) == 8:
            raise Killed

    whole.output.mkdir(parents=True)
    killed.output.mkdir(parents=True)
    facts = fine_tune(whole, whole.output, tmp_path / "of-whole", lambda _event, **_fields: None)
    with pytest.raises(Killed):
        fine_tune(killed, killed.output, tmp_path / "of-killed", say)
    newest = tmp_path / "of-killed" / "checkpoint-7"
    assert [*states_in(tmp_path / "of-killed")] == [newest]
    gone_on = fine_tune(killed, killed.output, tmp_path / "of-killed", say)
    assert told[8] == {"event": "resumed", "step": 7, "tokens": told[6]["tokens"]}
    assert [event["step"] for event in told[9:]] == [8, 9, 10, 11, 12]
    assert hash_model(killed.output) == hash_model(whole.output)
    assert (gone_on["loss"], gone_on["tokens"]) == (facts["loss"], facts["tokens"])
    assert gone_on["resumed_step"] == 7 and gone_on["new_tokens"] < gone_on["tokens"]
