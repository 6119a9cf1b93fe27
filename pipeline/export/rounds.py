"""Which round an export takes."""

from __future__ import annotations

from pipeline.errors import NotReadyError
from pipeline.store import Store


def best_round(store: Store, experiment: str) -> int:
    """The trained round with the best dev accuracy, the earliest of equals; without a dev split the newest.

    `eval` never decides. Raises NotReadyError where no round has trained a model.
    """
    trained = {row["round"] for row in store.rows("checkpoints", experiment=experiment)}
    if not trained:
        raise NotReadyError(
            f"experiment {experiment} has trained no model yet; run: star run {experiment}, "
            "or export --round 0 for the base"
        )
    measured = [
        row
        for row in store.rows("accuracies", experiment=experiment, split="dev")
        if row["round"] in trained and row["value"] is not None
    ]
    if not measured:
        return int(max(trained))
    return int(max(measured, key=lambda row: (row["value"], -row["round"]))["round"])
