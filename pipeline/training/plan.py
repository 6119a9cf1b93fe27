"""How long to train and at which rate: pure functions of the config, the rows and the round."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.config.experiment import TrainConfig
from pipeline.counted import counted

PAPER_STEPS = 40
"""Steps of round 1 in the STaR paper (arXiv 2203.14465, appendix H)."""
PAPER_GROWTH = 1.2
PAPER_WARMUP_STEPS = 100


@dataclass(frozen=True, slots=True)
class StepPlan:
    """Optimizer steps of one round's training.

    `epochs` is the number of passes over the rows that they make; `capped`: `max_epochs` cut the steps down.
    """

    steps: int
    epochs: float
    capped: bool
    sentence: str


def planned_steps(config: TrainConfig, rows: int, round_: int) -> StepPlan:
    """The steps of round `round_` (from 1) over `rows` rows; ValueError where there is nothing to train on.

    `paper` and `steps` count rounds, whatever the number of rows; `max_epochs` keeps a small set from being
    learnt by heart. Part passes are rounded to whole steps, at least one.
    """
    if rows < 1 or round_ < 1:
        raise ValueError(
            f"planned_steps: expected at least 1 row and round 1, got {rows} rows, round {round_}"
        )
    if config.schedule == "epochs":
        wanted = max(1, round(config.epochs * rows / config.batch_size))
    elif config.schedule == "paper":
        wanted = round(PAPER_STEPS * PAPER_GROWTH ** (round_ - 1))
    else:
        wanted = round(config.steps * config.growth ** (round_ - 1))
    most = max(1, int(config.max_epochs * rows / config.batch_size))
    steps = min(wanted, most)
    epochs = steps * config.batch_size / rows
    sentence = (
        f"{counted(steps, 'step')} of {counted(config.batch_size, 'row')} = {epochs:.1f} passes over "
        f"{counted(rows, 'row')}"
    )
    if steps < wanted:
        sentence += f" (cut down from {wanted:,} steps by max_epochs {config.max_epochs:g})"
    return StepPlan(steps=steps, epochs=epochs, capped=steps < wanted, sentence=sentence)


def warmup_steps(config: TrainConfig, steps: int) -> int:
    """Steps with a rising rate: `warmup_ratio` of them; `paper`: 100, at most half the run."""
    if config.schedule == "paper":
        return min(PAPER_WARMUP_STEPS, steps // 2)
    return round(config.warmup_ratio * steps)


def rate_schedule(config: TrainConfig) -> str:
    """Name of the learning-rate schedule after the warm-up, as transformers calls it."""
    shape = "constant" if config.schedule == "paper" else config.lr_schedule
    return "constant_with_warmup" if shape == "constant" else shape


def micro_batch(config: TrainConfig) -> int:
    """Rows per forward pass of a process: the largest divisor of its rows that `micro_batch_size` allows."""
    rows = config.batch_size // config.processes
    limit = min(config.micro_batch_size or rows, rows)
    return next(size for size in range(limit, 0, -1) if rows % size == 0)


def passes_per_step(config: TrainConfig) -> int:
    """Forward passes of a process before each optimizer step."""
    return config.batch_size // config.processes // micro_batch(config)


def row_order(
    lengths: Sequence[int], *, steps: int, batch_size: int, seed: int, window: int = 1
) -> list[int]:
    """Row indices in the order of training: `steps` batches of `batch_size`, one after another.

    Passes over all rows follow each other, each shuffled anew; a batch may span two of them, none is short.
    `window` batches at a time are cut from rows sorted by length and shuffled as batches. Within a batch the
    rows stand by length too, which changes nothing of its gradient and lets forward passes over parts of it
    pad less.
    """
    shuffler = random.Random(seed)
    order: list[int] = []
    while len(order) < steps * batch_size:
        one_pass = list(range(len(lengths)))
        shuffler.shuffle(one_pass)
        order += one_pass
    ordered: list[int] = []
    # Over more than one pass, equal rows would stand together and a batch could be one row over and over.
    window = max(1, min(window, len(lengths) // batch_size))
    for drawn in _pieces(order[: steps * batch_size], window * batch_size):
        batches = _pieces(sorted(drawn, key=lambda row: (-lengths[row], row)), batch_size)
        shuffler.shuffle(batches)
        ordered += [row for batch in batches for row in batch]
    return ordered


def _pieces(rows: list[int], size: int) -> list[list[int]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]
