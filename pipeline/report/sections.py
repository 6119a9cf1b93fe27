"""The tables of the report that are folded until a reader asks for them, each from one report of sql/."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.report.data import ReportData

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Section:
    """A folded table. `columns`: its name there -> column of the query, and how a value is written."""

    title: str
    rows: str
    columns: Mapping[str, tuple[str, str]]
    note: str = ""


_ROUND = {"round": ("round", "")}
_GRADERS = Section(
    "What the graders said",
    "verdicts",
    {
        **_ROUND,
        "origin": ("origin", ""),
        "attempts": ("attempts", ",d"),
        "correct": ("correct", ",d"),
        "wrong": ("wrong", ",d"),
        "ungraded": ("ungraded", ",d"),
        "timeouts": ("timeouts", ",d"),
        "crashes": ("crashes", ",d"),
        "why ungraded": ("why_ungraded", ""),
        "judge tokens": ("judge_tokens", ",d"),
    },
    "A timeout or a crash of a grader leaves an attempt ungraded: it is neither kept nor counted as wrong.",
)
SECTIONS = (
    _GRADERS,
    Section(
        "Further sets: what is forgotten, what carries over",
        "further",
        {
            "set": ("further_set", ""),
            **_ROUND,
            "problems": ("problems", ",d"),
            "accuracy": ("value", ".1%"),
            "from": ("low", ".1%"),
            "to": ("high", ".1%"),
            "since round 0": ("change", "+.1%"),
        },
        "Other tasks, asked greedily with a prompt and a grader of their own. They decide nothing.",
    ),
    Section(
        "By source of the problems",
        "by_source",
        {
            **_ROUND,
            "source": ("source", ""),
            "problems": ("problems", ",d"),
            "solved": ("problems_solved", ",d"),
            "attempts": ("attempts", ",d"),
            "correct": ("correct", ",d"),
            "kept": ("kept", ",d"),
            "of the kept": ("kept_share", ".1%"),
        },
    ),
    Section(
        "What was left out, and why",
        "rejections",
        {
            **_ROUND,
            "reason": ("reason", "words"),
            "left out": ("rejections", ",d"),
            "of the attempts": ("share_of_attempts", ".1%"),
            "for example": ("example", ""),
        },
    ),
    Section(
        "Solved first, again, and no longer",
        "solved",
        {
            **_ROUND,
            "attempted": ("attempted", ",d"),
            "solved": ("solved", ",d"),
            "for the first time": ("first_solved", ",d"),
            "forgotten": ("forgotten", ",d"),
            "forgotten since": ("forgotten_since", ",d"),
            "first by the hint": ("first_by_hint", ",d"),
        },
        "Problems solved without the hint. Forgotten: failed in the round, after an earlier one had solved "
        "them; forgotten since: of those first solved in the round, failed when last attempted.",
    ),
    Section(
        "How many texts differ",
        "diversity",
        {
            **_ROUND,
            "origin": ("origin", ""),
            "attempts": ("attempts", ",d"),
            "distinct": ("distinct_texts", ",d"),
            "correct": ("correct", ",d"),
            "distinct correct": ("distinct_correct", ",d"),
            "texts a solved problem": ("texts_per_problem", ".2f"),
            "several correct": ("several", ",d"),
            "all alike": ("collapsed", ",d"),
        },
        "Texts of one problem that differ only in case and spaces count as one. Several correct: problems "
        "with more than one correct attempt; all alike: those of them whose correct attempts read the same.",
    ),
    Section(
        "Where two graders differ",
        "disagreement",
        {
            **_ROUND,
            "other grader": ("grader", ""),
            "decided": ("outcome", ""),
            "the other said": ("other_outcome", ""),
            "attempts": ("attempts", ",d"),
            "share": ("share", ".2%"),
        },
    ),
    Section(
        "Cost",
        "costs",
        {
            **_ROUND,
            "sampled tokens": ("sampled_tokens", ",d"),
            "trained tokens": ("trained_tokens", ",d"),
            "steps": ("steps", ",d"),
            "kept": ("kept", ",d"),
            "tokens per kept": ("tokens_per_kept", ",.0f"),
            "points": ("points", ".1f"),
            "tokens per point": ("tokens_per_point", ",.0f"),
            "seconds": ("seconds", ",.1f"),
            "GPU hours": ("gpu_hours", ",.2f"),
            "{currency}": ("money", ",.2f"),
            "{currency} per point": ("money_per_point", ",.2f"),
        },
        "Sampled: completions to train on. A point is a percent of held-out accuracy above the base; what "
        "one cost is counted since round 0.",
    ),
    Section(
        "Time per stage",
        "timings",
        {
            **_ROUND,
            "stage": ("stage", ""),
            "seconds": ("seconds", ",.1f"),
            "tokens": ("tokens", ",d"),
            "tokens/s": ("tokens_per_second", ",.0f"),
            "engine at work": ("engine_share", ".0%"),
            "MiB": ("peak_memory_mib", ",.0f"),
            "MiB of the GPU": ("peak_gpu_memory_mib", ",.0f"),
            "device": ("device", ""),
            "interrupted": ("interrupted", ",d"),
            "failed": ("failed", ",d"),
        },
        "Tokens that a model wrote or was trained on, per second of wall time, and the share of it in which "
        "the model was at work; the most memory of the stage's processes together.",
    ),
)


def sections(data: ReportData) -> list[dict[str, Any]]:
    """Title, note, columns and cells of each table that has rows."""
    rows = {
        "verdicts": [{**row, "judge_tokens": row["judge_tokens"] or None} for row in data.verdicts],
        "further": data.further,
        "by_source": data.by_source if len({row["source"] for row in data.by_source}) > 1 else [],
        "rejections": data.rejections,
        "solved": data.solved,
        "diversity": data.diversity,
        "disagreement": [row for row in data.disagreement if row["disagree"]],
        "costs": data.costs,
        "timings": data.timings,
    }
    shown = [_shown(section, rows[section.rows], data.currency) for section in SECTIONS if rows[section.rows]]
    quality = _quality(data.quality)
    return [*shown[:1], quality, *shown[1:]] if quality["rows"] else shown


def _shown(section: Section, rows: Sequence[Row], currency: str) -> dict[str, Any]:
    """The section without the columns that have no value in any row."""
    columns = {
        name.format(currency=currency): (key, form)
        for name, (key, form) in section.columns.items()
        if any(row[key] is not None for row in rows)
    }
    return {
        "title": section.title,
        "note": section.note,
        "columns": list(columns),
        "rows": [[_written(row[key], form) for key, form in columns.values()] for row in rows],
    }


def _quality(rows: Sequence[Row]) -> dict[str, Any]:
    """Share of right attempts that each part of the grader flags; a part that never scored 0 stays out."""
    names = sorted({row["subscore"] for row in rows if row["flagged"]})
    by_group: dict[tuple[int, str], dict[str, Any]] = {}
    for row in rows:
        group = by_group.setdefault((row["round"], row["origin"]), dict.fromkeys(names, ""))
        if row["subscore"] in names:
            group[row["subscore"]] = f"{row['rate']:.1%} of {row['attempts']:,}"
    cells = [{"round": round_, "origin": origin, **group} for (round_, origin), group in by_group.items()]
    return {
        "title": "Quality of right rationales: share flagged",
        "note": "",
        **table(("round", "origin", *names), cells if names else []),
    }


def table(keys: Sequence[str], rows: Sequence[Row]) -> dict[str, Any]:
    """A table of the columns `keys` as they are."""
    return {
        "columns": [name.replace("_", " ") for name in keys],
        "rows": [[_written(row[key], "") for key in keys] for row in rows],
    }


def _written(value: Any, form: str) -> str:
    if value is None:
        return ""
    if form == "words":
        return str(value).replace("_", " ")
    return format(value, form)
