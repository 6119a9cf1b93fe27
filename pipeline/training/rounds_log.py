"""The numbers of rounds for the trackers that follow an experiment, logged in a child process."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.hostile import without_passwords
from pipeline.paths import write_atomically
from pipeline.process import LastLines, run_child
from pipeline.training.environment import child_environment
from pipeline.training.tracking import Tracking

LOGGED = "rounds.json"
"""Which numbers each tracker has, by tracker and round; in the folder of the trackers."""

Numbers = Mapping[str, float]


def log_rounds(tracking: Tracking, rounds: Mapping[int, Numbers]) -> dict[str, str]:
    """Log the rounds whose numbers a tracker does not have yet, those of earlier failures among them.

    Returns, by tracker that failed, how many rounds it lacks and why. It never raises for a tracker's fault.
    """
    wanted = {str(round_): dict(numbers) for round_, numbers in sorted(rounds.items())}
    logged = _logged(tracking.folder)
    lacking = {
        tracker: {
            round_: numbers
            for round_, numbers in wanted.items()
            if logged.get(tracker, {}).get(round_) != numbers
        }
        for tracker in tracking.report_to
    }
    lacking = {tracker: missing for tracker, missing in lacking.items() if missing}
    if not lacking:
        return {}
    done, lost = _log(tracking, lacking)
    for tracker in done:
        logged.setdefault(tracker, {}).update(lacking[tracker])
    write_atomically(tracking.folder / LOGGED, (json.dumps(logged, indent=1) + "\n").encode())
    return {
        tracker: f"{len(lacking[tracker])} of {len(wanted)} rounds not logged: {why}"
        for tracker, why in lost.items()
    }


def _log(tracking: Tracking, lacking: Mapping[str, Mapping[str, Numbers]]) -> tuple[set[str], dict[str, str]]:
    """The trackers that took their rounds, and why the others did not."""
    tracking.folder.mkdir(parents=True, exist_ok=True)
    done: set[str] = set()
    lost: dict[str, str] = {}

    def hear(line: str) -> None:
        event: dict[str, Any] = json.loads(line)
        if event["event"] == "logged":
            done.add(event["tracker"])
        elif event["event"] == "tracker_lost":
            lost[event["tracker"]] = event["why"]

    said = LastLines(5)
    with tempfile.TemporaryDirectory(dir=tracking.folder) as work:
        spec = Path(work) / "spec.json"
        spec.write_text(json.dumps({"tracking": tracking.as_fields(), "rounds": lacking}), encoding="utf-8")
        code = run_child(
            [sys.executable, "-m", "pipeline.training.rounds_child", str(spec)],
            on_line=hear,
            on_error_line=said,
            env={**child_environment(threads=1), **tracking.environment()},
            timeout_s=None,
        )
    last = without_passwords(said.text)
    for tracker in lacking.keys() - done - lost.keys():
        lost[tracker] = f"the process that logs left with exit code {code}; it said last: {last}"
    return done, lost


def _logged(folder: Path) -> dict[str, dict[str, Numbers]]:
    try:
        found: dict[str, dict[str, Numbers]] = json.loads((folder / LOGGED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found
