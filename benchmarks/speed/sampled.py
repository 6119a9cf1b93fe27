"""Texts written the way a stage writes them: requests, part files, rows with answers."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from pipeline.config.graders import StringCheckGrader
from pipeline.engines import Engine
from pipeline.progress import LogProgress
from pipeline.records import Origin, Problem, Prompt, PromptStyle, Purpose, Sampling, Split
from pipeline.sampling import Ask, Job, Sampler

QUIET = LogProgress(every_s=3600.0)


def asks_of(prompts: Sequence[str], samples: int) -> list[Ask]:
    """`samples` asks for each prompt, as `generate` orders them."""
    return [
        Ask(
            Problem(f"p{index:06}", Split.TRAIN, text, "0"),
            Prompt(text, PromptStyle.FEW_SHOT),
            sample,
            Purpose.TRAINING,
        )
        for index, text in enumerate(prompts)
        for sample in range(samples)
    ]


def write_as_a_stage(engine: Engine, asks: Sequence[Ask], sampling: Sampling) -> int:
    """Tokens written; every row has been flushed to a part file."""
    grader = StringCheckGrader(type="string_check", answer_marker="Ans:")
    job = Job("benchmark", 1, Origin.GENERATED, 0, sampling, grader, None)
    with tempfile.TemporaryDirectory() as folder:
        sampled = Sampler(job, engine, Path(folder), QUIET).run(asks, len(asks))
    return sampled.completion_tokens
