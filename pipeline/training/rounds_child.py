"""The process that logs rounds: `python -m pipeline.training.rounds_child SPEC.json`.

SPEC has the tracking and, by tracker, the numbers of each round. Says `logged` or `tracker_lost` of each
tracker. A process of its own, because transformers and torch come with the callbacks.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pipeline.training.events import Say, leave, take_over_output
from pipeline.training.tracking import PROJECT, RUN_TAG, Tracking


def main(spec_path: str) -> None:
    """Log what the spec says, one tracker after another."""
    say = take_over_output()
    spec = json.loads(Path(spec_path).read_text(encoding="utf-8"))
    tracking = Tracking.from_fields(spec["tracking"])
    for tracker, rounds in spec["rounds"].items():
        if _log(tracker, tracking, rounds, say):
            say("logged", tracker=tracker)
    leave(0, flush=True)


def _log(tracker: str, tracking: Tracking, rounds: Mapping[str, Mapping[str, float]], say: Say) -> bool:
    """Whether the tracker took all rounds; the round is the step."""
    from transformers import TrainerControl, TrainerState, TrainingArguments

    from pipeline.training.trackers import GuardedTracker

    args = TrainingArguments(
        output_dir=str(tracking.folder), run_name=tracking.run, project=PROJECT, report_to=[], use_cpu=True
    )
    if tracker == "mlflow":
        _go_on_with_mlflow_run(tracking)
    callback = GuardedTracker(tracker, say)
    state, control = TrainerState(), TrainerControl()
    for round_, numbers in rounds.items():
        state.global_step = int(round_)
        callback.on_log(args, state, control, logs=dict(numbers))
    callback.on_train_end(args, state, control)
    return callback.lost == 0


def _go_on_with_mlflow_run(tracking: Tracking) -> None:
    """Name the run of earlier rounds to transformers; the others go on with a run by themselves."""
    import mlflow

    with suppress(Exception):  # a server that is away is told by the callback
        found = mlflow.search_runs(
            experiment_names=[os.environ["MLFLOW_EXPERIMENT_NAME"]],
            filter_string=f"tags.{RUN_TAG} = '{tracking.run_id}'",
            output_format="list",
        )
        if found:
            os.environ["MLFLOW_RUN_ID"] = found[0].info.run_id


if __name__ == "__main__":
    main(sys.argv[1])
