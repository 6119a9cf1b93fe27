"""What the trainer tells as it goes: when a state is saved, and how held-out rows fare.

Only the training child imports this module, for it brings transformers.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

from transformers.trainer_callback import TrainerCallback  # noqa: TID253

from pipeline.training.events import Say
from pipeline.training.states import PREFIX, keep_only, seal
from pipeline.training.watch import Watch

WATCHED = "watch.json"
"""In a state: what the watch had seen."""


class StateKeeper(TrainerCallback):
    """Asks for a state every `every_minutes`, seals those that are written, keeps the newest and the best.

    Where the disk has no room for one, which is said once, none is saved.
    """

    def __init__(self, every_minutes: float | None, state_bytes: int, watch: Watch, say: Say) -> None:
        self._every_s = None if every_minutes is None else every_minutes * 60
        self._bytes, self._watch, self._say = state_bytes, watch, say
        self._saved = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        due = self._every_s is not None and time.monotonic() - self._saved >= self._every_s
        if due and state.global_step < state.max_steps:
            control.should_save = self._has_room(Path(args.output_dir))

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        folder = Path(args.output_dir)
        newest = folder / f"{PREFIX}{state.global_step}"
        (newest / WATCHED).write_text(json.dumps(self._watch.as_fields()), encoding="utf-8")
        seal(newest)
        best = state.best_global_step
        keep_only(folder, newest, folder / f"{PREFIX}{best}" if best else None)
        self._saved = time.monotonic()

    def _has_room(self, folder: Path) -> bool:
        free = shutil.disk_usage(folder).free
        if free >= self._bytes:
            return True
        self._say("no_room", needed=self._bytes, free=free)
        self._every_s = None
        return False


class HeldOutLoss(TrainerCallback):
    """Has held-out rows measured after the last step too, and says each loss."""

    def __init__(self, watch: Watch, say: Say) -> None:
        self._watch, self._say = watch, say

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step >= state.max_steps:
            control.should_evaluate = True

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any, **_: Any) -> None:
        self._watch.held_out(metrics["eval_loss"])
        self._say("held_out", step=state.global_step, loss=metrics["eval_loss"])
