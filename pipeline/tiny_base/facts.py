"""Which digit-sum facts a column-addition base was taught, and a probe of which ones it really has."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.tiny_base import ColumnAdditionBase
from pipeline.problems.column_addition import parse_rationale, render_answer, render_question, work_out

FACTS_FILE = "facts.json"
ALL_FACTS = tuple((top, bottom) for top in range(10) for bottom in range(10))

Fact = tuple[int, int]
"""An ordered digit pair: (4, 9) stands for 4 + 9."""


def known_facts(config: ColumnAdditionBase) -> frozenset[Fact]:
    """The pairs a base of this config is taught, drawn by its seed."""
    return frozenset(random.Random(f"facts/{config.seed}").sample(ALL_FACTS, config.known_facts))


@dataclass(frozen=True, slots=True)
class FactProbe:
    """Greedy answers to all 100 one-column questions: how many facts of each kind came out right."""

    known: int
    known_right: int
    unknown: int
    unknown_right: int

    @property
    def sentence(self) -> str:
        return (
            f"{self.known_right} of {self.known} taught digit sums right, "
            f"{self.unknown_right} of the {self.unknown} others (chance would be one in ten)"
        )


def probe_facts(write: Callable[[Sequence[str]], Sequence[str]], known: frozenset[Fact]) -> FactProbe:
    """Ask for all 100 digit sums; `write` gives a greedy completion for each question `a 4 +9`."""
    texts = write([render_question((fact,)) for fact in ALL_FACTS])
    right = {fact for fact, text in zip(ALL_FACTS, texts, strict=True) if _says_sum(text, fact)}
    return FactProbe(len(known), len(right & known), len(ALL_FACTS) - len(known), len(right - known))


def write_facts(folder: Path, known: frozenset[Fact], probe: FactProbe) -> None:
    """`facts.json` beside the weights: what was taught, and what the probe found right after pretraining."""
    content = {
        "taught": sorted(known),
        "probe": {
            "known": probe.known,
            "known_right": probe.known_right,
            "unknown": probe.unknown,
            "unknown_right": probe.unknown_right,
        },
    }
    (folder / FACTS_FILE).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_facts(folder: Path) -> tuple[frozenset[Fact], FactProbe] | None:
    """What `write_facts` left beside a base's weights; None for a base without it."""
    path = folder / FACTS_FILE
    if not path.is_file():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    return frozenset((top, bottom) for top, bottom in content["taught"]), FactProbe(**content["probe"])


def _says_sum(text: str, fact: Fact) -> bool:
    parsed = parse_rationale(text)
    return parsed is not None and parsed[1] == render_answer(work_out((fact,)))
