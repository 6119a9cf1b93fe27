"""From what a pilot measured to what every round would give and cost.

Round 1 is written by the model that wrote the pilot, so its numbers are the pilot's, scaled up. What later
models can do nobody knows before they are trained: their interval reaches from *as round 1* to *everything is
solved without a hint*, and their value is that of round 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist, mean

from pipeline.config import ExperimentConfig
from pipeline.config.site import PricesSite
from pipeline.plan.estimate import CONFIDENCE, NOTHING, Estimate, share, total
from pipeline.plan.measured import Measured
from pipeline.rounds import stage_named, stages_of
from pipeline.training import planned_steps

MIB = 1 << 20
ASSUMPTIONS = (
    "a later round has, at the low end, the pass rate of round 1, and at the high end solves every problem "
    "without a hint; what is expected of it is that it goes as round 1",
    "later models write texts as long as the pilot's",
    "time is that of `star run` in one process on this machine, as busy as it was during the pilot; its ends "
    "are those of the work to do, not of how busy the machine will be",
    "all rounds of the config are run, unless nothing is kept in the first",
)


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


@dataclass(frozen=True, slots=True)
class RoundPlan:
    """A round as predicted. Rates are shares of the attempts written to train on (None in round 0), tokens
    are of completions, `trained_tokens` those seen in training, `stages` and `seconds` wall time, `disk` MiB.

    `gpu_hours` and `money` are None without a GPU, `money` also without a price; what hangs on the time of a
    training that could not be measured leaves it out.
    """

    round: int
    pass_rate: Estimate | None
    cut_off: Estimate | None
    kept_rows: Estimate
    training_rows: Estimate
    steps: Estimate
    sampled_tokens: Estimate
    evaluated_tokens: Estimate
    trained_tokens: Estimate
    stages: Mapping[str, Estimate]
    seconds: Estimate
    gpu_hours: Estimate | None
    money: Estimate | None
    disk: Estimate


@dataclass(frozen=True, slots=True)
class Plan:
    """All rounds and their sum. `rates` are those of the pilot; `training_measured`: whether its steps were
    timed. Of the sum, rates are None, and training rows those of the last round."""

    rates: Mapping[str, Estimate]
    rounds: Sequence[RoundPlan]
    total: RoundPlan
    training_measured: bool


def predict(measured: Measured, prices: PricesSite) -> Plan:
    """Every round of the config, from round 0."""
    rounds: list[RoundPlan] = []
    works = _works(measured)
    for round_ in range(measured.config.rounds + 1):
        rounds.append(_round(measured, prices, round_, works[: round_ + 1]))
    return Plan(_rates(measured), rounds, _total(rounds), measured.trained is not None)


def _rates(measured: Measured) -> dict[str, Estimate]:
    """Shares of problems, and of attempts, with Wilson intervals over problems."""
    problems, attempts = len(measured.problems), measured.count("attempts")
    hinted = sum(1 for row in measured.problems if row["hinted"])
    return {
        "solved": share(measured.solved, problems, problems),
        "solved with the hint": share(measured.hinted_solved, hinted, hinted),
        "correct": share(measured.count("correct"), attempts, problems),
        "cut off": share(measured.count("cut_off"), attempts, problems),
        "without an answer": share(measured.count("no_answer"), attempts, problems),
        "ungraded": share(measured.count("ungraded"), attempts, problems),
    }


def _works(measured: Measured) -> list[Work]:
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
    lengths = [
        row["generated_tokens"]
        if row["complete_tokens"] is None
        else row["attempts"] * row["complete_tokens"]
        for row in rows
    ]
    samples = config.generate.samples if config.generate.source == "model" else 1
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
        if round_ > 0 and row["prompt_style"] != config.evaluate.style:
            continue
        wanted = min(measured.splits[row["split"]], config.evaluate.limit or measured.splits[row["split"]])
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


def _round(measured: Measured, prices: PricesSite, round_: int, works: Sequence[Work]) -> RoundPlan:
    config, work = measured.config, works[-1]
    rows = _training_rows(measured, round_, works)
    steps = _steps(config, rows, round_)
    stages = {
        stage.name: _stage_seconds(measured, stage.name, round_, work, steps)
        for stage in stages_of(round_, config)
    }
    gpu_hours = _gpu_hours(measured, stages)
    return RoundPlan(
        round=round_,
        pass_rate=_rate(measured, "correct", round_, 1.0),
        cut_off=_rate(measured, "cut_off", round_, 0.0),
        kept_rows=work.kept,
        training_rows=rows,
        steps=steps,
        sampled_tokens=total([tokens for stage, tokens in work.tokens.items() if stage != "evaluate"]),
        evaluated_tokens=work.tokens["evaluate"],
        trained_tokens=steps.times(config.train.batch_size).by(_row_length(measured, round_)),
        stages=stages,
        seconds=total(list(stages.values())),
        gpu_hours=gpu_hours,
        money=None if gpu_hours is None or prices.gpu_hour is None else gpu_hours.times(prices.gpu_hour),
        disk=_disk(measured, round_, work),
    )


def _rate(measured: Measured, column: str, round_: int, solved: float) -> Estimate | None:
    """Share of the attempts of a round's own draw; later rounds reach to what it is where all is solved."""
    attempts = measured.sample.sum_over_round([row["attempts"] for row in measured.problems])
    if round_ == 0 or not attempts.value:
        return None
    count = measured.sample.count_over_round([row[column] for row in measured.problems])
    rate = count.times(1 / attempts.value)
    rate = Estimate(rate.value, rate.low, min(1.0, rate.high))
    return rate.or_as(Estimate.exact(solved)) if round_ > 1 else rate


def _training_rows(measured: Measured, round_: int, works: Sequence[Work]) -> Estimate:
    """Rows of this round and of those it reuses.

    A text that comes again word for word is left out. The high end has no such text; the low end keeps one
    row of a problem however often it is drawn; the value lies in the middle of the two.
    """
    reuse = measured.config.select.reuse_rounds
    first = 1 if reuse == "all" else max(1, round_ - reuse)
    kept = [work.kept for work in works[first:]]
    every = total(kept)
    if len(kept) < 2:
        return every
    problems = measured.sample.problems
    distinct = measured.pool * (1 - (1 - problems / measured.pool) ** len(kept)) / problems
    fewest = Estimate(*(min(distinct * end, all_) for end, all_ in _ends(kept[-1], every)))
    return Estimate((fewest.value + every.value) / 2, min(fewest.low, every.low), every.high)


def _ends(one: Estimate, other: Estimate) -> Iterable[tuple[float, float]]:
    return ((one.value, other.value), (one.low, other.low), (one.high, other.high))


def _steps(config: ExperimentConfig, rows: Estimate, round_: int) -> Estimate:
    def steps(count: float) -> float:
        return planned_steps(config.train, round(count), round_).steps if round(count) >= 1 else 0.0

    return Estimate(steps(rows.value), steps(rows.low), steps(rows.high)) if round_ > 0 else NOTHING


def _row_length(measured: Measured, round_: int) -> Estimate:
    """Tokens of a training row: of those kept, and in later rounds up to those of problems not solved yet."""
    rows, sample = measured.problems, measured.sample
    every = measured.row_tokens
    if not any(every):
        return NOTHING
    known = [float(tokens is not None) for tokens in every]
    all_solved = sample.mean_over_round([tokens or 0.0 for tokens in every], known)
    if not measured.count("kept"):
        return all_solved
    of_kept = sample.mean_over_round([row["kept_tokens"] for row in rows], [row["kept"] for row in rows])
    return of_kept.or_as(all_solved) if round_ > 1 else of_kept


def _stage_seconds(measured: Measured, stage: str, round_: int, work: Work, steps: Estimate) -> Estimate:
    """Wall time of a stage: writing goes by its tokens, grading by its attempts, training by its steps."""
    if stage == "train":
        return _train_seconds(measured, steps)
    if stage in work.tokens:
        return _writing_seconds(measured, stage, round_, work)
    written_by = stage_named(stage).inputs[:1] if stage.startswith("verify") else ()
    run = _run_like(measured, stage, round_)
    if run is None:
        return NOTHING
    attempts = [work.attempts[name] for name in written_by]
    if stage == "select":
        attempts = [each for name, each in work.attempts.items() if name != "evaluate"]
    if not attempts or not run["rows_in"]:
        return Estimate.exact(run["seconds"] or 0.0)
    return total(attempts).times(run["seconds"] / run["rows_in"])


def _run_like(measured: Measured, stage: str, round_: int) -> Mapping[str, float] | None:
    """The pilot's execution of a stage: of round 0, or of round 1 for it and what follows."""
    own = measured.runs.get((min(round_, 1), stage))
    return own or measured.runs.get((0, stage))


def _writing_seconds(measured: Measured, stage: str, round_: int, work: Work) -> Estimate:
    """Start of the engine where another model comes; the engine's time by tokens, the rest by texts."""
    source = stage if work.attempts[stage].high and _wrote(measured, stage) else "generate"
    run = _run_like(measured, source, round_)
    if run is None or not run["engine_tokens"]:
        return NOTHING
    loads = _loads(measured.config, stage, round_)
    started = measured.facts.first_load_seconds if source == _first_written(measured) else 0.0
    rest = max(0.0, run["seconds"] - run["engine_seconds"] - started) / max(run["rows_in"], 1)
    load = measured.facts.first_load_seconds if round_ == 0 else measured.facts.load_seconds
    writing = work.tokens[stage].times(run["engine_seconds"] / run["engine_tokens"])
    return Estimate.exact(loads * load) + writing + work.attempts[stage].times(rest)


def _wrote(measured: Measured, stage: str) -> bool:
    run = measured.runs.get((1, stage)) or measured.runs.get((0, stage))
    return bool(run and run["engine_tokens"])


def _first_written(measured: Measured) -> str:
    """The stage in which the pilot started the engine for the first time."""
    return "evaluate" if _wrote(measured, "evaluate") else "generate"


def _loads(config: ExperimentConfig, stage: str, round_: int) -> int:
    """How often a stage of `star run` starts an engine: one is kept as long as its model is asked for."""
    by_base = config.rationalize.model == "base" and round_ > 1
    if stage == "evaluate":
        return 1
    return 1 if by_base and stage in ("rationalize", "regenerate") else 0


def _train_seconds(measured: Measured, steps: Estimate) -> Estimate:
    """Start of the child and its first step once, then a second for each step as the timed ones took."""
    run = measured.trained
    if run is None:
        return NOTHING
    first = run["detail"]["first_step_seconds"]
    timed = max(run["detail"]["steps"] - 1, 1)
    each = (run["engine_seconds"] - first) / timed
    start = run["seconds"] - run["engine_seconds"] + first

    def seconds(count: float) -> float:
        return start + max(count - 1, 0) * each if count else 0.0

    return Estimate(seconds(steps.value), seconds(steps.low), seconds(steps.high))


def _gpu_hours(measured: Measured, stages: Mapping[str, Estimate]) -> Estimate | None:
    """Hours of a GPU, times those that a model is split over, as the report `cost_by_round` counts them."""
    if not measured.on_gpu:
        return None
    spread = measured.config.engine.tensor_parallel
    on_gpu = [
        each.times(1 if name == "train" else spread) for name, each in stages.items() if stage_named(name).gpu
    ]
    return total(on_gpu).times(1 / 3600)


def _disk(measured: Measured, round_: int, work: Work) -> Estimate:
    """MiB that a round adds: attempts in tables and files, and its checkpoint where that stays.

    A store of few rows is mostly room that more rows fill up, which the low end leaves out.
    """
    attempts = total(list(work.attempts.values()))
    each = measured.file_bytes / max(measured.rationales, 1)
    in_tables = measured.table_bytes / max(measured.rationales, 1)
    rows = Estimate(
        attempts.value * (each + in_tables / 2), attempts.low * each, attempts.high * (each + in_tables)
    )
    kept = {"all": measured.config.rounds, "best": 2, "last": 1}[measured.config.train.keep]
    stays = round_ > measured.config.rounds - kept and round_ > 0
    checkpoint = measured.facts.checkpoint_bytes if stays and work.kept.high else 0
    return (rows + Estimate.exact(checkpoint)).times(1 / MIB)


def _total(rounds: Sequence[RoundPlan]) -> RoundPlan:
    def summed(name: str) -> Estimate:
        return total([getattr(each, name) for each in rounds])

    def summed_or_none(name: str) -> Estimate | None:
        return None if getattr(rounds[0], name) is None else summed(name)

    names = dict.fromkeys(name for each in rounds for name in each.stages)
    return RoundPlan(
        round=rounds[-1].round,
        pass_rate=None,
        cut_off=None,
        kept_rows=summed("kept_rows"),
        training_rows=rounds[-1].training_rows,
        steps=summed("steps"),
        sampled_tokens=summed("sampled_tokens"),
        evaluated_tokens=summed("evaluated_tokens"),
        trained_tokens=summed("trained_tokens"),
        stages={name: total([each.stages.get(name, NOTHING) for each in rounds]) for name in names},
        seconds=summed("seconds"),
        gpu_hours=summed_or_none("gpu_hours"),
        money=summed_or_none("money"),
        disk=summed("disk"),
    )
