"""What every round has to do, by what a pilot did: attempts and tokens by stage, and the rationales kept.

Round 1 is written by the model that wrote the pilot, so its numbers are the pilot's, scaled up. What later
models can do nobody knows before they are trained: their interval reaches from *as round 1* to *everything is
solved without a hint*, and their value is that of round 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist, mean

from pipeline.plan.estimate import CONFIDENCE, NOTHING, Estimate, total
from pipeline.plan.measured import Measured
from pipeline.records import Purpose


@dataclass(frozen=True, slots=True)
class Work:
    """What a round has to do: attempts and completion tokens by stage, and the rationales it would keep."""

    attempts: Mapping[str, Estimate]
    tokens: Mapping[str, Estimate]
    kept: Estimate

    def or_as(self, other: Work) -> Work:
        """This work, its intervals reaching as far as the other's."""
        return Work(
            {stage: each.or_as(other.attempts[stage]) for stage, each in self.attempts.items()},
            {stage: each.or_as(other.tokens[stage]) for stage, each in self.tokens.items()},
            self.kept.or_as(other.kept),
        )


def works(measured: Measured) -> list[Work]:
    """The work of each round: 0 evaluates only, 1 is the pilot's, later ones reach to all solved."""
    config = measured.config
    first, solved = _as_pilot(measured), _all_solved(measured)
    later = first.or_as(solved)
    if not first.kept.value:  # the loop ends where nothing is kept
        later = _scaled_to_nothing(later)
    works = [Work({}, {}, NOTHING)]
    for round_ in range(1, config.rounds + 1):
        writing = first if round_ == 1 else later
        kept = writing.kept + Estimate.exact(measured.imported if round_ == 1 else 0)
        works.append(Work(writing.attempts, writing.tokens, kept))
    evaluated = [_evaluated(measured, round_) for round_ in range(config.rounds + 1)]
    return [
        Work({**work.attempts, "evaluate": count}, {**work.tokens, "evaluate": tokens}, work.kept)
        for work, (count, tokens) in zip(works, evaluated, strict=True)
    ]


def _as_pilot(measured: Measured) -> Work:
    """A round that goes as the pilot went."""
    sample, rows = measured.sample, measured.problems
    columns = {"generate": "generated", "rationalize": "hinted", "regenerate": "regenerated"}
    counts = {"generate": "attempts", "rationalize": "hinted", "regenerate": "regenerated"}
    return Work(
        {stage: sample.sum_over_round([row[name] for row in rows]) for stage, name in counts.items()},
        {
            stage: sample.sum_over_round([row[f"{name}_tokens"] for row in rows])
            for stage, name in columns.items()
        },
        sample.count_over_round([row["kept"] for row in rows]),
    )


def _all_solved(measured: Measured) -> Work:
    """A round in which every problem is solved unaided, by texts as long as the pilot's complete ones."""
    config, sample, rows = measured.config, measured.sample, measured.problems
    samples = config.generate.least_samples
    lengths = [
        row["generated_tokens"]
        if row["complete_tokens"] is None
        else min(row["attempts"], samples) * row["complete_tokens"]
        for row in rows
    ]
    most = sample.problems * min(config.select.per_problem, samples)
    return Work(
        {
            "generate": Estimate.exact(sample.problems * samples),
            "rationalize": NOTHING,
            "regenerate": NOTHING,
        },
        {"generate": sample.sum_over_round(lengths), "rationalize": NOTHING, "regenerate": NOTHING},
        Estimate(sample.problems, sample.problems, most),
    )


def _scaled_to_nothing(work: Work) -> Work:
    def may_be(estimate: Estimate) -> Estimate:
        return Estimate(0.0, 0.0, estimate.high)

    return Work(
        {stage: may_be(each) for stage, each in work.attempts.items()},
        {stage: may_be(each) for stage, each in work.tokens.items()},
        may_be(work.kept),
    )


def _evaluated(measured: Measured, round_: int) -> tuple[Estimate, Estimate]:
    """Texts and tokens of an evaluation; round 0 has both prompt styles where there are exemplars."""
    config = measured.config
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    counts, tokens = [], []
    for row in measured.evaluated:
        further = row["purpose"] == Purpose.FURTHER  # whole in the pilot too, and in one style
        if round_ > 0 and not further and row["prompt_style"] != config.evaluate.style:
            continue
        whole = row["problems"] if further else measured.splits[row["split"]]
        wanted = whole if further else min(whole, config.evaluate.limit or whole)
        texts = wanted * row["attempts"] / row["problems"]
        half = z * row["spread_tokens"] / sqrt(row["attempts"])
        each = row["mean_tokens"]
        length = Estimate(each, max(0.0, each - half), each + half)
        if round_ > 0:  # a trained model's texts end as those it was trained on
            length = length.or_as(_complete_length(measured, length))
        counts.append(Estimate.exact(texts))
        tokens.append(length.times(texts))
    return total(counts), total(tokens)


def _complete_length(measured: Measured, otherwise: Estimate) -> Estimate:
    lengths = [row["complete_tokens"] for row in measured.problems if row["complete_tokens"]]
    return Estimate.exact(mean(lengths)) if lengths else otherwise
