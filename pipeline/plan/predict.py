"""From what a pilot measured to what every round would give and cost (work.py, times.py)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.config import ExperimentConfig
from pipeline.config.site import PricesSite
from pipeline.plan.estimate import NOTHING, Estimate, share, total
from pipeline.plan.measured import Measured
from pipeline.plan.times import stage_seconds
from pipeline.plan.work import Work, works
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
    to_do = works(measured)
    for round_ in range(measured.config.rounds + 1):
        rounds.append(_round(measured, prices, round_, to_do[: round_ + 1]))
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


def _round(measured: Measured, prices: PricesSite, round_: int, to_do: Sequence[Work]) -> RoundPlan:
    """A round, whose work is the last in `to_do`; those before it are of the rounds before."""
    config, work = measured.config, to_do[-1]
    rows = _training_rows(measured, round_, to_do)
    steps = _steps(config, rows, round_)
    stages = {
        stage.name: stage_seconds(measured, stage.name, round_, work, steps)
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


def _training_rows(measured: Measured, round_: int, to_do: Sequence[Work]) -> Estimate:
    """Rows of this round, of those it reuses, and of general data."""
    own = _own_rows(measured, round_, to_do)
    replay = measured.config.train.replay
    return own if replay is None else own.times(1 / (1 - replay.share))


def _own_rows(measured: Measured, round_: int, to_do: Sequence[Work]) -> Estimate:
    """Rows of this round and of those it reuses.

    A text that comes again word for word is left out. The high end has no such text; the low end keeps one
    row of a problem however often it is drawn; the value lies in the middle of the two.
    """
    reuse = measured.config.select.reuse_rounds
    first = 1 if reuse == "all" else max(1, round_ - reuse)
    kept = [work.kept for work in to_do[first:]]
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


def _gpu_hours(measured: Measured, stages: Mapping[str, Estimate]) -> Estimate | None:
    """Hours of a GPU, times those that a model is split over, as the report `cost_by_round` counts them."""
    if not measured.on_gpu:
        return None
    spread, processes = measured.config.engine.tensor_parallel, measured.config.train.processes
    on_gpu = [
        each.times(processes if name == "train" else spread)
        for name, each in stages.items()
        if stage_named(name).gpu
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
