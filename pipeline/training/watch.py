"""Follows a training step by step, and stops one that diverges.

The rule: a loss or a gradient norm that is not finite stops it at once. So does a loss that stays more than
`train.max_loss_rise` nats per trained token above its start for long. The start is the mean of the first
tenth of the steps (1 to 10 of them), long is a fifth of the steps in a row (5 to 20 of them).
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from pipeline.config.experiment import TrainConfig
from pipeline.errors import DivergedError
from pipeline.training.events import Say
from pipeline.training.plan import passes_per_step


class Watch:
    """The losses of a training, its trained tokens and its time.

    `seconds` are those from the start to the end of the newest step, `first_seconds` to the end of the first.
    Of a training that goes on from a saved state, `seconds` are those since then, and `new_tokens` too.
    """

    def __init__(self, config: TrainConfig, steps: int, lengths: list[int], say: Say) -> None:
        self._config, self._lengths, self._say = config, lengths, say
        self._window = max(1, min(steps, max(10, steps // 10)))
        self._start = min(10, max(1, steps // 10))
        self._long = min(20, max(5, steps // 5))
        self._losses: list[float] = []
        self._micro_losses: list[float] = []
        self._started = time.monotonic()
        self.tokens = self._tokens_before = 0
        self.seconds = self.first_seconds = 0.0

    @property
    def step(self) -> int:
        """Optimizer steps finished."""
        return len(self._losses)

    @property
    def new_tokens(self) -> int:
        """Tokens trained by this process."""
        return self.tokens - self._tokens_before

    def forward(self, loss: float) -> None:
        """One forward and backward pass of every process: its share of the step's mean loss per token.

        Raises DivergedError as the module says.
        """
        batch = self._config.batch_size
        self._micro_losses.append(loss)
        if not math.isfinite(loss):
            raise self._diverged(f"the training loss of step {self.step + 1} is {loss}")
        if len(self._micro_losses) == passes_per_step(self._config):
            self._losses.append(sum(self._micro_losses))
            self._micro_losses.clear()
            self.tokens += sum(self._lengths[(self.step - 1) * batch : self.step * batch])
            self.seconds = round(time.monotonic() - self._started, 3)
            self.first_seconds = self.first_seconds or self.seconds
            self._say("step", step=self.step, loss=self._losses[-1], tokens=self.tokens, seconds=self.seconds)
            self._refuse_a_long_rise()

    def gradient(self, norm: float) -> None:
        """The norm of a step's gradient before it is clipped; DivergedError where it is not finite."""
        if not math.isfinite(norm):
            loss = self._losses[-1]
            raise self._diverged(f"the gradient norm of step {self.step} is {norm}, its loss {loss:.3f}")

    def held_out(self, loss: float) -> None:
        """The loss on held-out rows after the newest step; DivergedError where it is not finite."""
        if not math.isfinite(loss):
            raise self._diverged(f"the held-out loss after step {self.step} is {loss}")

    def as_fields(self) -> dict[str, Any]:
        """What it has seen, for a saved state."""
        return {"losses": self._losses, "tokens": self.tokens}

    def go_on_from(self, fields: Mapping[str, Any]) -> None:
        """Take up what `as_fields` gave of the steps before."""
        self._losses = list(fields["losses"])
        self.tokens = self._tokens_before = int(fields["tokens"])

    def last_mean(self) -> float:
        """Mean loss of the last tenth of the steps, at least ten of them where there are so many."""
        last = self._losses[-self._window :]
        return sum(last) / len(last)

    def _refuse_a_long_rise(self) -> None:
        limit = self._config.max_loss_rise
        if limit is None or self.step < self._start + self._long:
            return
        start = sum(self._losses[: self._start]) / self._start
        if min(self._losses[-self._long :]) > start + limit:
            raise self._diverged(
                f"the training loss of step {self.step} is {self._losses[-1]:.3f}: for {self._long} steps it "
                f"has been more than train.max_loss_rise ({limit:g}) above {start:.3f}, where it started"
            )

    def _diverged(self, what: str) -> DivergedError:
        now = self._config
        return DivergedError(
            f"{what}; lower train.learning_rate (now {now.learning_rate:g}) or train.max_grad_norm (now "
            f"{now.max_grad_norm:g}), lengthen train.warmup_ratio (now {now.warmup_ratio:g}), or set "
            "train.precision to float32"
        )
