"""Runs the arms of a comparison beside each other and shows their rounds as they end."""

from __future__ import annotations

import json as json_module
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.cli.terminal import clean
from pipeline.report.tables import header_line, round_line

if TYPE_CHECKING:
    from pipeline.config import ExperimentConfig
    from pipeline.paths import Home


@dataclass(frozen=True, slots=True)
class ArmRun:
    """One experiment: the title of its lines, its name, what differs, its rounds (None: the config's)."""

    title: str
    experiment: str
    settings: tuple[str, ...]
    rounds: int | None = None


def run_arms(home: Home, config: str, runs: Sequence[ArmRun], *, at_once: int, as_json: bool) -> None:
    """Run `star run CONFIG` for each, at most `at_once` at a time; what is done is skipped.

    Raises StarError when one fails; the others are ended first.
    """
    from pipeline.cli.side_by_side import run_side_by_side

    titles = {run.experiment: run.title for run in runs}
    wide = max(len(title) for title in titles.values())
    if not as_json:
        print(f"{'':{wide}}  {header_line()}", flush=True)

    def show(name: str, line: str) -> None:
        if as_json:
            print(line, flush=True)
            return
        row = json_module.loads(line)
        if "round" in row:
            print(f"{titles[name]:{wide}}  {round_line(row)}", flush=True)

    def note(name: str, line: str) -> None:
        print(f"{titles[name]}: {clean(line)}", file=sys.stderr, flush=True)

    commands = {run.experiment: _command(home, config, run) for run in runs}
    run_side_by_side(commands, at_once=at_once, on_result=show, on_note=note)


def _command(home: Home, config: str, run: ArmRun) -> list[str]:
    further = [] if run.rounds is None else ["--rounds", str(run.rounds)]
    return [
        *("--home", str(home.root), "run", config, "--experiment", run.experiment, "--json", *further),
        *(part for setting in run.settings for part in ("--set", setting)),
    ]


def cores() -> int:
    """How many processes of one thread this machine runs at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def make_base(home: Home, config: ExperimentConfig) -> None:
    """Pretrain the base that arms share, once, before they start; nothing where the base is not ours."""
    from pipeline.progress import default_progress
    from pipeline.tiny_base import ensure_tiny_base

    if config.model.tiny is not None:
        ensure_tiny_base(config.model.tiny, home.bases, default_progress())
