"""`text_similarity`: how alike are two texts, by the metrics that OpenAI's grader of that name offers.

Written here because the usual packages bring downloads and compilers for what are short formulas.
`fuzzy_match` is the normalised indel similarity (rapidfuzz calls it `ratio`), `bleu` is sentence BLEU with
add-one smoothing (Papineni et al. 2002; Lin and Och 2004), `gleu` Google's (Wu et al. 2016), `rouge_n` and
`rouge_l` are F-measures (Lin 2004), `cosine` is over word counts.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence

from pipeline.config.graders import TextSimilarityGrader
from pipeline.graders.protocol import DecidedInline, Job, graded, ungraded
from pipeline.graders.templates import render
from pipeline.records import GradeItem, Verdict

_LONGEST_GRAM = 4


class TextSimilarity(DecidedInline):
    """Grader of `type: text_similarity`."""

    def __init__(self, config: TextSimilarityGrader) -> None:
        self._config = config

    def inline(self, item: GradeItem) -> Verdict | Job:
        """Always decided at once: every metric is linear but for word-parallel matching of capped texts."""
        config = self._config
        reference = render(config.reference or config.gold, item)[: config.max_chars]
        if not reference.strip():
            return ungraded(item, "unparseable_gold")
        text = render(config.input, item)[-config.max_chars :]
        if config.ignore_case:
            reference, text = reference.casefold(), text.casefold()
        score = similarity(config.evaluation_metric, text, reference)
        passed = score >= config.pass_threshold
        return graded(item, passed, "similar" if passed else "not_similar", score=score)


def similarity(metric: str, text: str, reference: str) -> float:
    """Between 0 and 1; 1 for equal texts."""
    text, reference = text.strip(), reference.strip()
    if text == reference:
        return 1.0
    if not text or not reference:
        return 0.0
    if metric.startswith("rouge_") and metric != "rouge_l":
        return _rouge(_words(text), _words(reference), int(metric.removeprefix("rouge_")))
    return _METRICS[metric](text, reference)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text)


def _fuzzy(text: str, reference: str) -> float:
    return 2 * common_subsequence(text, reference) / (len(text) + len(reference))


def common_subsequence(left: Sequence[str], right: Sequence[str]) -> int:
    """Length of the longest common subsequence, bit-parallel (Hyyrö 2004): one big-integer step per
    element.
    """
    positions: dict[str, int] = {}
    for number, element in enumerate(left):
        positions[element] = positions.get(element, 0) | 1 << number
    full = (1 << len(left)) - 1
    row = full
    for element in right:
        matched = row & positions.get(element, 0)
        row = ((row + matched) | (row - matched)) & full
    return len(left) - row.bit_count()


def _grams(words: Sequence[str], size: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[start : start + size]) for start in range(len(words) - size + 1))


def _bleu(text: str, reference: str) -> float:
    given, wanted = _words(text), _words(reference)
    if not given or not wanted:
        return 0.0
    logs = 0.0
    for size in range(1, _LONGEST_GRAM + 1):
        grams = _grams(given, size)
        shared = sum((grams & _grams(wanted, size)).values())
        total = sum(grams.values())
        if size == 1 and shared == 0:
            return 0.0
        smooth = 0 if size == 1 else 1
        logs += math.log((shared + smooth) / (total + smooth))
    return min(1.0, math.exp(1 - len(wanted) / len(given))) * math.exp(logs / _LONGEST_GRAM)


def _gleu(text: str, reference: str) -> float:
    given, wanted = _words(text), _words(reference)
    sizes = range(1, _LONGEST_GRAM + 1)
    shared = sum(sum((_grams(given, size) & _grams(wanted, size)).values()) for size in sizes)
    totals = [sum(sum(_grams(words, size).values()) for size in sizes) for words in (given, wanted)]
    return shared / max(totals) if max(totals) else 0.0


def _rouge(given: Sequence[str], wanted: Sequence[str], size: int) -> float:
    left, right = _grams(given, size), _grams(wanted, size)
    return _f_measure(sum((left & right).values()), sum(left.values()), sum(right.values()))


def _rouge_l(text: str, reference: str) -> float:
    given, wanted = _words(text), _words(reference)
    return _f_measure(common_subsequence(given, wanted), len(given), len(wanted))


def _f_measure(shared: int, given: int, wanted: int) -> float:
    return 2 * shared / (given + wanted) if given + wanted else 0.0


def _cosine(text: str, reference: str) -> float:
    left, right = Counter(_words(text)), Counter(_words(reference))
    product = sum(left[word] * right[word] for word in left)
    sizes = math.sqrt(sum(n * n for n in left.values()) * sum(n * n for n in right.values()))
    return product / sizes if sizes else 0.0


_METRICS: dict[str, Callable[[str, str], float]] = {
    "fuzzy_match": _fuzzy,
    "bleu": _bleu,
    "gleu": _gleu,
    "rouge_l": _rouge_l,
    "cosine": _cosine,
}
