"""Trackers: what they are told equals the tables, and neither their lack nor their failure spoils an experiment."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.experiment import TrainConfig
from pipeline.engines.weights import hash_model
from pipeline.errors import ConfigError, StarError
from pipeline.hostile import without_passwords
from pipeline.progress import LogProgress
from pipeline.store import StageKey, Store
from pipeline.training import Tracking, TrainSpec, log_rounds, train
from pipeline.training.fine_tune import fine_tune
from tests.stages.conftest import Lab, lab, right, text_base  # noqa: F401

TENSORBOARD = "train.report_to=[tensorboard]"
Spec = Callable[..., TrainSpec]


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """What the event files of a run hold: tag -> step -> value; a step logged twice is an error."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    found: dict[str, dict[int, float]] = {}
    for tag in events.Tags()["scalars"]:
        found[tag] = {event.step: event.value for event in events.Scalars(tag)}
        # The trainer says the last step's epoch again with its totals.
        assert tag == "train/epoch" or len(found[tag]) == len(events.Scalars(tag)), f"{tag} has a step twice"
    return found


def numbers_of_rounds(store: Store) -> dict[str, dict[int, float]]:
    """What `rounds_summary` says, under the names that trackers get: transformers files `eval_` under `eval/`."""
    found: dict[str, dict[int, float]] = {}
    for row in store.rows("rounds_summary", experiment="lab"):
        for name, value in row.items():
            if name not in ("round", "seconds") and isinstance(value, (int, float)):
                group = "eval" if name.startswith(("dev_", "eval_")) else "train"
                found.setdefault(f"{group}/{name}", {})[row["round"]] = value
    return found


def trackers_of(made: Lab) -> Path:
    return made.home.trackers("lab")


@pytest.mark.slow
def test_tensorboard_holds_the_numbers_of_the_tables_round_by_round_and_step_by_step(lab: Lab) -> None:  # noqa: F811
    for index in range(4):
        lab.says(f"p{index}", [right(2 * index), right(1000)])
    lab.run(TENSORBOARD, "train.epochs=12", "train.batch_size=2", "rounds=2", "evaluate.splits=[dev]")
    told = scalars(trackers_of(lab) / "tensorboard" / "lab")
    expected = numbers_of_rounds(lab.store)
    assert told.keys() == expected.keys()
    for tag, by_round in expected.items():
        assert told[tag] == pytest.approx(by_round), tag
    assert told["train/training_rows"] == {0: 0, 1: 4, 2: 4}
    assert told["eval/dev_accuracy"].keys() == {0, 1, 2}
    for round_ in (1, 2):
        (checkpoint,) = lab.store.rows("checkpoint", experiment="lab", round=round_)
        losses = scalars(trackers_of(lab) / "tensorboard" / f"lab-r{round_:03d}")["train/loss"]
        assert list(losses) == list(range(1, checkpoint["steps"] + 1))
        last = list(losses.values())[-10:]
        assert sum(last) / len(last) == pytest.approx(checkpoint["loss"], rel=1e-4)

    # Asked for again, the round that ended the run is decided anew, and nothing is logged twice.
    lab.run(TENSORBOARD, "train.epochs=12", "train.batch_size=2", "rounds=2", "evaluate.splits=[dev]")
    assert scalars(trackers_of(lab) / "tensorboard" / "lab") == told


@pytest.mark.slow
def test_experiment_goes_on_without_a_tracker_that_fails_and_says_what_it_lost(lab: Lab) -> None:  # noqa: F811
    lab.says("p0", [right(0), right(1000)])
    trackers_of(lab).mkdir(parents=True)
    (trackers_of(lab) / "tensorboard").write_text("a file where its folder would be")
    assert "the one round is done" in lab.run(TENSORBOARD)
    (checkpoint,) = lab.store.rows("checkpoint", experiment="lab", round=1)
    runs = {
        row["stage"]: row
        for row in lab.store.rows("last_runs_of_stages", experiment="lab")
        if row["round"] == 1
    }
    assert runs["train"]["summary"].endswith(f"tensorboard lost {checkpoint['steps'] + 1} logs")
    assert "tensorboard: 2 of 2 rounds not logged: " in runs["decide"]["summary"]

    # With the next round that reaches it, it has those before as well.
    (trackers_of(lab) / "tensorboard").unlink()
    lab.run(TENSORBOARD, "rounds=2")
    assert scalars(trackers_of(lab) / "tensorboard" / "lab")["train/problems"] == {0: 0, 1: 6, 2: 6}


def test_tracker_that_is_not_installed_is_named_with_its_package_before_anything_runs(lab: Lab) -> None:  # noqa: F811
    missing = [name for name in ("wandb", "mlflow", "trackio") if find_spec(name) is None]
    if not missing:
        pytest.skip("all trackers are installed here")
    with pytest.raises(ConfigError, match=rf"{missing[0]}, not installed in .*pip install {missing[0]};"):
        lab.run(f"train.report_to=[tensorboard, {missing[0]}]")
    state = lab.store.state(StageKey("lab", 0, "prepare"))
    assert state.input_digest is None and not trackers_of(lab).exists()


def test_training_that_is_followed_gives_the_same_checkpoint(
    spec_for: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = spec_for(output="alone", steps=4)
    tracking = Tracking(("tensorboard",), "run-r001", "run", tmp_path / "trackers")
    followed = replace(spec_for(output="followed", steps=4), tracking=tracking)
    assert TrainSpec.from_json(followed.to_json()).tracking == tracking
    assert followed.digest() == alone.digest()
    for name, value in tracking.environment().items():
        monkeypatch.setenv(name, value)
    hashes = []
    for spec in (alone, followed):
        spec.output.mkdir(parents=True)
        said: list[dict[str, Any]] = []
        facts = fine_tune(
            spec,
            spec.output,
            tmp_path / f"states-{spec.output.name}",
            lambda event, said=said, **fields: said.append(fields),
        )
        hashes.append(hash_model(spec.output))
        assert facts["lost_logs"] == {}
    assert hashes[0] == hashes[1]
    losses = scalars(tmp_path / "trackers" / "tensorboard" / "run-r001")["train/loss"]
    assert losses == pytest.approx({step["step"]: step["loss"] for step in said}, rel=1e-5)


def test_tracker_that_fails_in_the_middle_is_left_alone_and_its_lost_logs_are_counted(
    spec_for: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.integrations import TensorBoardCallback

    heard: list[int] = []

    def until_the_disk_is_full(callback: Any, args: Any, state: Any, *_: Any, **__: Any) -> None:
        heard.append(state.global_step)
        if state.global_step == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(TensorBoardCallback, "on_log", until_the_disk_is_full)
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "tensorboard"))
    spec = spec_for(steps=6)
    spec = replace(spec, tracking=Tracking(("tensorboard",), "run-r001", "run", tmp_path))
    spec.output.mkdir(parents=True)
    said: list[tuple[str, dict[str, Any]]] = []
    facts = fine_tune(
        spec,
        spec.output,
        tmp_path / f"states-{spec.output.name}",
        lambda event, **fields: said.append((event, fields)),
    )
    assert facts["steps"] == 6 and heard == [1, 2, 3]
    assert facts["lost_logs"] == {"tensorboard": 5}  # steps 3 to 6, and the totals at the end
    assert [fields for event, fields in said if event == "tracker_lost"] == [
        {"tracker": "tensorboard", "why": "OSError: [Errno 28] No space left on device"}
    ]


@pytest.mark.slow
def test_rounds_are_logged_once_and_again_where_their_numbers_changed(tmp_path: Path) -> None:
    tracking = Tracking(("tensorboard",), "run", "run", tmp_path)
    first = {0: {"problems": 6, "eval_dev_accuracy": 0.25}}
    assert log_rounds(tracking, first) == {}
    files = sorted((tmp_path / "tensorboard" / "run").iterdir())
    assert log_rounds(tracking, first) == {}
    assert sorted((tmp_path / "tensorboard" / "run").iterdir()) == files
    assert log_rounds(tracking, {**first, 1: {"problems": 5, "eval_dev_accuracy": 0.5}}) == {}
    assert scalars(tmp_path / "tensorboard" / "run") == {
        "train/problems": {0: 6, 1: 5},
        "eval/dev_accuracy": {0: 0.25, 1: 0.5},
    }
    assert json.loads((tmp_path / "rounds.json").read_text())["tensorboard"].keys() == {"0", "1"}


def test_offline_trackers_are_told_to_write_into_the_folder_and_servers_of_the_user_are_kept_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    tracking = Tracking.of_training(
        TrainConfig(report_to=("wandb", "mlflow"), run_name="nightly"), "lab", 2, tmp_path
    )
    assert tracking is not None and tracking.run == "nightly-r002"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    offline = tracking.environment()
    assert offline["WANDB_MODE"] == "offline"
    assert offline["MLFLOW_TRACKING_URI"] == f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    online = tracking.environment()
    assert online["MLFLOW_TRACKING_URI"] == "http://mlflow:5000" and "WANDB_MODE" not in online
    assert (online["WANDB_PROJECT"], online["WANDB_RUN_GROUP"]) == ("mine", "nightly")


def test_nothing_follows_an_experiment_that_does_not_ask_for_it() -> None:
    assert Tracking.of_rounds(TrainConfig(), "lab", Path("nowhere")) is None
    assert Tracking.of_training(TrainConfig(), "lab", 1, Path("nowhere")) is None


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("at http://me:hidden@host:5000/v1 and //hid@den@h", "at http://...@host:5000/v1 and //...@h"),
        ("mail me@host, see https://host/a@b", "mail me@host, see https://host/a@b"),
    ],
)
def test_address_in_what_a_library_says_is_shown_without_user_and_password(said: str, shown: str) -> None:
    assert without_passwords(said) == shown


def test_child_that_dies_with_an_address_on_its_lips_is_told_without_the_password(
    spec_for: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"  # dies where it is to train or log, and is Python to the supervisor
    python.write_text(
        '#!/bin/sh\n[ "$1" = -m ] && { echo "no way to http://me:hidden@host:5000" >&2; exit 3; }\n'
        f'exec "{sys.executable}" "$@"\n'
    )
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    lost = log_rounds(Tracking(("tensorboard",), "run", "run", tmp_path / "trackers"), {0: {"problems": 6}})
    assert lost["tensorboard"].endswith("exit code 3; it said last: no way to http://...@host:5000")
    with pytest.raises(StarError, match=r"it said last:\nno way to http://\.\.\.@host:5000"):
        train(spec_for(steps=1), LogProgress())
