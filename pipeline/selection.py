"""Which attempts become training rows, and why the others do not. Pure: no files, no clock, no hidden state.

Zelikman et al. 2022 (arXiv 2203.14465) keep every rationale whose final answer is correct; the further rules
are ours, and off or without effect by default. The rules, in order; an attempt goes by the first that
applies:

1. `prompt_too_long`: nothing was generated.
2. `cut_off`: the token limit came before a complete answer (unless `cut_off`).
3. `ungraded`, `wrong`: the verdict (unless `filter: none`).
4. `quality`: an empty text, which teaches nothing but to stop (only `filter: none` can meet one); or a
   sub-score of 0 that `exclude_flagged` names.
5. `hint_leaked`: a rationalized text with one of `leak_phrases`.
6. `excluded_by_person`: somebody excluded it, called its verdict wrong, or said so of a text that reads as
   it.
7. `too_few_correct`: a generated attempt of a problem with fewer than `min_correct` generated attempts left
   (not with `filter: none`).
8. `duplicate`: reads as an attempt of the same problem that stands before it (unless `duplicates`), or, with
   `choose: distinct_equations`, has its list of equations.
9. `over_problem_cap`: the problem has `per_problem` rows of this round that `choose` puts before it.
10. `over_rationalized_share`: drawn out by seed, so that of the rows kept at most `max_rationalized_share`
    are rationalized.

Of one problem, attempts written without the hint always stand before rationalized ones.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby

from pipeline.config.experiment import SelectConfig
from pipeline.identity import canonical_json, text_hash
from pipeline.records import Attempt, FinishReason, Origin, Outcome, Rejection, RejectionReason

_ORIGIN_ORDER = {Origin.GENERATED: 0, Origin.IMPORTED: 1, Origin.RATIONALIZED: 2}


@dataclass(frozen=True, slots=True)
class Selection:
    """Attempts kept and attempts left out: together all of them, each once."""

    kept: list[Attempt]
    rejections: list[Rejection]


def select(attempts: Sequence[Attempt], config: SelectConfig, *, seed: int, round_: int) -> Selection:
    """Apply the rules of this module to `attempts` (generated, rationalized and imported, of any rounds).

    The result depends on the attempts, not on their order: `kept` and `rejections` are sorted by problem,
    round, origin and sample. Raises ValueError for an evaluated attempt: what measures must never train.
    """
    ordered = sorted(attempts, key=_standing)
    evaluated = next((one for one in ordered if one.origin not in _ORIGIN_ORDER), None)
    if evaluated is not None:
        raise ValueError(
            f"attempt {evaluated.rationale_id} was {evaluated.origin}: it must not be trained on"
        )
    rejected: dict[int, Rejection] = {}
    places = range(len(ordered))
    for place in places:
        reason = _unfit(ordered[place], config)
        if reason is not None:
            rejected[place] = _reject(ordered[place], *reason)
    for _, group in groupby(places, key=lambda place: ordered[place].problem_id):
        problem = [place for place in group if place not in rejected]
        for place, reason in _of_one_problem(problem, ordered, config, seed, round_):
            rejected[place] = _reject(ordered[place], *reason)
    left = [place for place in places if place not in rejected]
    for place, reason in _over_share(left, ordered, config, seed, round_):
        rejected[place] = _reject(ordered[place], *reason)
    kept = [ordered[place] for place in places if place not in rejected]
    return Selection(kept, [rejected[place] for place in sorted(rejected)])


def equations(text: str) -> tuple[str, ...]:
    """The equations of a rationale in the order written, without spaces, `$` and thousands separators.

    Those in GSM8K's calculator marks `<<48/2=24>>` where there are any, as in RFT (Yuan et al. 2023, arXiv
    2308.01825), else every `=` between arithmetic with an operator and a number.
    """
    marked = re.findall(r"<<([^<>]*)>>", text)
    if marked:
        return tuple(_plain(equation) for equation in marked)
    found: list[str] = []
    signs = text.replace("×", "*").replace("·", "*").replace("÷", "/").replace("−", "-")
    signs = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", signs)  # thousands separators; other commas separate
    signs = re.sub(r"\.(?!\d)", ";", signs)  # full stops; what is left is decimal points
    signs = re.sub(r"(?<=[\d)]) ?x ?(?=[\d($])", "*", signs)
    for equals in re.finditer("=", signs):
        # A bounded window: an equation is short, and a hostile text may be long.
        left = _LEFT.search(signs[max(0, equals.start() - _WINDOW) : equals.start()])
        right = _RIGHT.match(signs[equals.end() : equals.end() + _WINDOW])
        if left and right and re.search(r"[\d)]\s*[-+*/^%]\s*[($\d]", left[0]):
            found.append(f"{_plain(left[0]).lstrip('+*/^%)')}={_plain(right[0])}")
    return tuple(found)


_WINDOW = 120
_LEFT = re.compile(r"[-+*/^%().$\d \t]*$")
_RIGHT = re.compile(r"[ \t]*-?[ \t]*\$?[ \t]*-?\d+(?:\.\d+)?(?:/\d+)?")

Reason = tuple[RejectionReason, str]


def _standing(attempt: Attempt) -> tuple[str, int, int, int, str]:
    origin = _ORIGIN_ORDER.get(attempt.origin, len(_ORIGIN_ORDER))
    return attempt.problem_id, attempt.round, origin, attempt.sample, attempt.rationale_id


def _reject(attempt: Attempt, reason: RejectionReason, detail: str) -> Rejection:
    return Rejection(attempt.problem_id, attempt.rationale_id, reason, detail)


def _unfit(attempt: Attempt, config: SelectConfig) -> Reason | None:
    """Rules 1 to 6: what can be said of an attempt by itself."""
    if attempt.finish_reason is FinishReason.PROMPT_TOO_LONG:
        return RejectionReason.PROMPT_TOO_LONG, "the prompt fills the context"
    if attempt.finish_reason is FinishReason.LENGTH and not config.cut_off:
        return RejectionReason.CUT_OFF, f"no complete answer in {attempt.completion_tokens} tokens"
    if config.filter == "verified" and attempt.outcome is not Outcome.CORRECT:
        wrong = attempt.outcome is Outcome.WRONG
        given = f", answer {attempt.answer[:60]!r}" if attempt.answer is not None else ""
        return (RejectionReason.WRONG if wrong else RejectionReason.UNGRADED), attempt.reason + given
    if not attempt.text.strip():
        return RejectionReason.QUALITY, "empty text"
    flagged = [name for name in config.exclude_flagged if attempt.subscores.get(name) == 0]
    if flagged:
        return RejectionReason.QUALITY, ", ".join(flagged)
    if attempt.origin is Origin.RATIONALIZED:
        text = attempt.text.casefold()
        leaked = next((phrase for phrase in config.leak_phrases if phrase.casefold() in text), None)
        if leaked is not None:
            return RejectionReason.HINT_LEAKED, f"says {leaked!r}"
    if attempt.flagged is not None:
        return RejectionReason.EXCLUDED_BY_PERSON, attempt.flagged
    return None


def _of_one_problem(
    places: Sequence[int], attempts: Sequence[Attempt], config: SelectConfig, seed: int, round_: int
) -> Iterable[tuple[int, Reason]]:
    """Rules 7 to 9 for the attempts of one problem that are fit by themselves."""
    left = list(places)
    if config.filter == "verified":
        generated = [place for place in left if attempts[place].origin is Origin.GENERATED]
        if len(generated) < config.min_correct:
            detail = f"{len(generated)} of at least {config.min_correct} generated attempts are correct"
            yield from ((place, (RejectionReason.TOO_FEW_CORRECT, detail)) for place in generated)
            left = [place for place in left if place not in generated]
    if not config.duplicates:
        left, repeats = _first_of_each(left, attempts, lambda one: one.norm_hash, "reads as")
        yield from repeats
    rank = _ranking(config, seed, round_)
    left.sort(key=lambda place: (attempts[place].round, _hinted(attempts[place]), rank(attempts[place])))
    if config.choose == "distinct_equations":
        left, repeats = _first_of_each(
            left, attempts, lambda one: equations(one.text), "has the equations of"
        )
        yield from repeats
    for _, group in groupby(left, key=lambda place: attempts[place].round):
        for place in list(group)[config.per_problem :]:
            detail = f"{config.per_problem} per problem, chosen by {config.choose}"
            yield place, (RejectionReason.OVER_PROBLEM_CAP, detail)


def _first_of_each(
    places: Sequence[int], attempts: Sequence[Attempt], key: Callable[[Attempt], object], says: str
) -> tuple[list[int], list[tuple[int, Reason]]]:
    """The first place of each key, and a duplicate's rejection for each other."""
    first: dict[object, int] = {}
    repeats: list[tuple[int, Reason]] = []
    for place in places:
        original = first.setdefault(key(attempts[place]), place)
        if original != place:
            detail = f"{says} {attempts[original].rationale_id}"
            repeats.append((place, (RejectionReason.DUPLICATE, detail)))
    return list(first.values()), repeats


def _hinted(attempt: Attempt) -> bool:
    return attempt.origin is Origin.RATIONALIZED


def _ranking(config: SelectConfig, seed: int, round_: int) -> Callable[[Attempt], tuple[float | str, ...]]:
    """The order in which `choose` takes attempts of one problem; ties go by origin, sample and id."""

    def rank(attempt: Attempt) -> tuple[float | str, ...]:
        tie = (_ORIGIN_ORDER[attempt.origin], attempt.sample, attempt.rationale_id)
        if config.choose == "random":
            return (_lot("choose", attempt, seed, round_), *tie)
        if config.choose == "shortest":
            return (attempt.completion_tokens, *tie)
        if config.choose == "highest_logprob":
            return (math.inf if attempt.mean_logprob is None else -attempt.mean_logprob, *tie)
        return tie

    return rank


def _over_share(
    places: Sequence[int], attempts: Sequence[Attempt], config: SelectConfig, seed: int, round_: int
) -> Iterable[tuple[int, Reason]]:
    """Rule 10 over the whole set: h rationalized among r others are the share h / (h + r)."""
    share = Fraction(str(config.max_rationalized_share))
    hinted = [place for place in places if _hinted(attempts[place])]
    if share == 1 or not hinted:
        return
    most = math.floor(share * (len(places) - len(hinted)) / (1 - share))
    hinted.sort(key=lambda place: _lot("share", attempts[place], seed, round_))
    detail = f"{len(hinted)} rationalized, at most {most} make a share of {config.max_rationalized_share}"
    yield from ((place, (RejectionReason.OVER_RATIONALIZED_SHARE, detail)) for place in hinted[most:])


def _lot(purpose: str, attempt: Attempt, seed: int, round_: int) -> str:
    """A draw by seed that is the same in every arm of an ablation: the experiment's name stays out."""
    key = [purpose, seed, round_, attempt.round, attempt.origin, attempt.problem_id, attempt.sample]
    return text_hash(canonical_json(key))


def _plain(equation: str) -> str:
    return re.sub(r"[\s$,]", "", equation)
