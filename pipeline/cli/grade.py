"""`star grade`: the graders by themselves, on a file of responses or on one pair."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from pipeline.cli.commands import add
from pipeline.cli.terminal import clean, print_json, print_table, say

if TYPE_CHECKING:
    from pipeline.config.graders import GraderConfig
    from pipeline.records import GradeItem

PANEL = "Look"


def register(app: typer.Typer) -> None:
    add(
        app,
        grade,
        PANEL,
        "star grade answers.jsonl --grader grader.yaml --out graded.jsonl",
        "star grade answers.jsonl --preset gsm8k --out graded.jsonl",
        r"star grade --gold '\frac{1}{2}' --response 'so x = \boxed{0.5}' --type math --explain",
    )


def grade(
    file: Path | None = typer.Argument(
        None, help="JSON Lines with at least `gold` and `response` a row. Without it: --gold and --response."
    ),
    grader: Path | None = typer.Option(
        None, "--grader", metavar="FILE", help="YAML of a grader, or a config: its verify.grader."
    ),
    type_: str | None = typer.Option(None, "--type", help="A grader by its type alone: math, numeric, ..."),
    preset: str | None = typer.Option(None, "--preset", help="A known convention: gsm8k, math, ..."),
    out: Path | None = typer.Option(
        None, "--out", metavar="FILE", help="Where the graded rows go, in order."
    ),
    workers: int = typer.Option(2, min=1, help="Grading processes."),
    gold: str | None = typer.Option(None, "--gold", help="One gold answer."),
    response: str | None = typer.Option(None, "--response", help="One response to it."),
    explain: bool = typer.Option(False, "--explain", help="Extraction, path taken, sub-scores of the pair."),
    json: bool = typer.Option(False, "--json", help="The verdict or the counts as JSON on stdout."),
) -> None:
    """Grade responses without an experiment.

    Each row of FILE is written to --out with outcome (correct, wrong or ungraded), score, reason, answer and
    elapsed_ms. A grader that failed says ungraded, never wrong.
    """
    config = _grader(grader, type_, preset)
    if file is not None:
        _refuse(gold is not None or response is not None, "give either FILE or --gold and --response")
        _refuse(out is None, "FILE needs --out: where the graded rows go")
        assert out is not None
        _grade_file(file, config, out, workers, json)
        return
    _refuse(gold is None or response is None, "give FILE, or both --gold and --response")
    assert gold is not None and response is not None
    _grade_pair(gold, response, config, explain, json)


def _refuse(wrong: bool, message: str) -> None:
    if wrong:
        raise typer.BadParameter(message)


def _grader(file: Path | None, type_: str | None, preset: str | None) -> GraderConfig:
    from pipeline.graders import parse_config
    from pipeline.graders.batch import load_grader

    given = [value for value in (file, type_, preset) if value is not None]
    _refuse(len(given) != 1, "give one of --grader FILE, --type TYPE and --preset NAME")
    if file is not None:
        return load_grader(file)
    return parse_config({"type": type_} if type_ is not None else {"preset": preset})


def _grade_file(file: Path, config: GraderConfig, out: Path, workers: int, as_json: bool) -> None:
    from pipeline.graders.batch import grade_file
    from pipeline.progress import default_progress

    summary = grade_file(file, config, out, workers=workers, progress=default_progress())
    reasons = sorted(summary.reasons.items(), key=lambda item: -item[1])
    if as_json:
        rows = [{"outcome": outcome, "reason": reason, "rows": count} for (outcome, reason), count in reasons]
        print_json(
            {"rows": summary.rows, "outcomes": dict(summary.outcomes), "reasons": rows, "out": str(out)}
        )
        return
    print_table(["outcome", "reason", "rows"], [(*key, f"{count:,}") for key, count in reasons])
    say(f"{summary.text()}; written to {out}")


def _grade_pair(gold: str, response: str, config: GraderConfig, explain: bool, as_json: bool) -> None:
    from pipeline.graders.batch import grade_pair
    from pipeline.records import GradeItem

    if explain:
        _explain(GradeItem(key="", answer=gold, response=response), config, as_json)
        return
    verdict = grade_pair(gold, response, config)
    document: dict[str, Any] = {name: value for name, value in asdict(verdict).items() if name != "key"}
    if as_json:
        print_json(document)
        return
    answer = "no answer found" if verdict.answer is None else f"answer {clean(verdict.answer)!r}"
    print(f"{verdict.outcome}: score {verdict.score:g}, reason {verdict.reason}, {answer}")


def _explain(item: GradeItem, config: GraderConfig, as_json: bool) -> None:
    from pipeline.graders.explain import explain

    explained = explain(item, config)
    if as_json:
        print_json([{"what": what, "value": value} for what, value in explained.steps])
        return
    print_table(["what", "value"], [(what, clean(value)) for what, value in explained.steps])
