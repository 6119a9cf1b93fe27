"""transformers' own tracker callbacks, kept from ending the work where a tracker fails.

Only child processes import this module, for it brings transformers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers.integrations import get_reporting_integration_callbacks  # noqa: TID253
from transformers.trainer_callback import TrainerCallback  # noqa: TID253

from pipeline.engines.weights import one_line
from pipeline.hostile import without_passwords
from pipeline.training.events import Say


class GuardedTracker(TrainerCallback):
    """A tracker's callback. Its first failure is said as `tracker_lost`; from then on it is left alone.

    A server that is away may keep every call waiting, so it is not tried again. `lost` counts the logs that
    were not delivered.
    """

    def __init__(self, name: str, say: Say) -> None:
        self.name = name
        self.lost = 0
        self._say = say
        self._callback: TrainerCallback | None = None
        try:
            (kind,) = get_reporting_integration_callbacks([name])
            self._callback = kind()
        except Exception as error:
            self._give_up(error)

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        self._pass_on("on_train_begin", *args, **kwargs)

    def on_log(self, *args: Any, **kwargs: Any) -> None:
        if not self._pass_on("on_log", *args, **kwargs):
            self.lost += 1

    def on_train_end(self, *args: Any, **kwargs: Any) -> None:
        self._pass_on("on_train_end", *args, **kwargs)

    def _pass_on(self, event: str, *args: Any, **kwargs: Any) -> bool:
        if self._callback is None:
            return False
        try:
            getattr(self._callback, event)(*args, **kwargs)
        except Exception as error:
            self._give_up(error)
            return False
        return True

    def _give_up(self, error: Exception) -> None:
        self._callback = None
        said = without_passwords(one_line(error))
        self._say("tracker_lost", tracker=self.name, why=f"{type(error).__name__}: {said}"[:300])


def guarded_trackers(names: Sequence[str], say: Say) -> list[GuardedTracker]:
    """The trackers of those names, none of which can end what it follows."""
    return [GuardedTracker(name, say) for name in names]
