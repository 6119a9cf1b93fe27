"""The sets of other tasks that every round is measured on: asked and graded in ways of their own.

They are reported and decide nothing: `decide` reads the splits `dev` and `eval` only.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.config import ExperimentConfig
from pipeline.config.experiment import FurtherSet
from pipeline.config.graders import GraderConfig
from pipeline.problems.exemplars import exemplar_of
from pipeline.prompts import PromptBook
from pipeline.prompts.book import ChatRenderer
from pipeline.records import Origin, Problem, PromptStyle, Purpose, Sampling, Split
from pipeline.sampling import Sampler, asks_for
from pipeline.stages.base import StageContext, problem_of
from pipeline.stages.grading import verdict_rows
from pipeline.stages.writing import sample

Row = Mapping[str, Any]
SPLIT = "further:{name}"
"""What `evaluations.split` calls a set."""


def further_problems(ctx: StageContext) -> dict[str, list[Problem]]:
    """This shard's problems of each set, as the first preparation read them."""
    sets: dict[str, list[Problem]] = {name: [] for name in ctx.config.evaluate.further or {}}
    rows = ctx.store.rows("problems_of_split", experiment=ctx.experiment, split=Split.FURTHER) if sets else []
    for index, row in enumerate(rows):
        if ctx.in_shard(index):
            sets[row["source"]].append(problem_of(row))
    return sets


def ask_further(ctx: StageContext, sets: Mapping[str, Sequence[Problem]]) -> Iterator[Sampler]:
    """Greedy texts for each set."""
    chat = ctx.tokenizer().render_chat if ctx.config.prompts.chat else None
    for name, problems in sets.items():
        further = _named(ctx.config, name)
        book = further_prompts(ctx.config, further, chat)
        render = functools.partial(book.evaluation, style=style_of(further))
        yield sample(
            ctx,
            asks_for(problems, render, 1, Purpose.FURTHER),
            len(problems),
            Origin.EVALUATED,
            _sampling(ctx.config, further),
            part=f"further-{name}",
            grader=grader_of(ctx.config, further),
            answer_line=further.answer_line,
        )


def further_prompts(config: ExperimentConfig, further: FurtherSet, chat: ChatRenderer | None) -> PromptBook:
    """The experiment's layout, with what the set has of its own; `chat` as for a PromptBook."""
    own = {"question": further.question, "choice": further.choice, "answer_line": further.answer_line}
    layout = config.prompts.model_copy(update={key: text for key, text in own.items() if text is not None})
    exemplars = [
        exemplar_of(one, f"evaluate.further few_shot[{at}]") for at, one in enumerate(further.few_shot)
    ]
    return PromptBook(layout, exemplars, (), chat)


def style_of(further: FurtherSet) -> PromptStyle:
    """Few-shot with exemplars of the set, zero-shot without."""
    return PromptStyle.FEW_SHOT if further.few_shot else PromptStyle.ZERO_SHOT


def grader_of(config: ExperimentConfig, further: FurtherSet) -> GraderConfig:
    """The set's grader, or the experiment's."""
    return further.grader or config.verify.grader


def grade_further(ctx: StageContext, attempts: Sequence[Row]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Name and verdicts of each set that has attempts, the verdicts in the order of its attempts."""
    for name, of_set in by_set(attempts).items():
        grader = grader_of(ctx.config, _named(ctx.config, name))
        workers = ctx.config.verify.workers
        yield name, list(verdict_rows(grader, of_set, workers=workers, decides=True))


def by_set(attempts: Sequence[Row]) -> dict[str, list[Row]]:
    """The attempts of each set, in their order."""
    sets: dict[str, list[Row]] = defaultdict(list)
    for attempt in attempts:
        if attempt["purpose"] == Purpose.FURTHER:
            sets[attempt["source"]].append(attempt)
    return sets


def _named(config: ExperimentConfig, name: str) -> FurtherSet:
    assert config.evaluate.further is not None, "only a config with sets has problems of them"
    return config.evaluate.further[name]


def _sampling(config: ExperimentConfig, further: FurtherSet) -> Sampling:
    tokens = further.max_tokens or config.evaluate.max_tokens or config.generate.max_tokens
    stop = config.generate.stop if further.stop is None else further.stop
    return Sampling(max_tokens=tokens, temperature=0.0, stop=stop)
