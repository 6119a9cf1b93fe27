"""The corpus of the text base: sums in sentences, so that what it writes looks like text with an answer.

It teaches the look of a worked answer (`#### 7`, or a choice `(b)`), not to solve anything.
"""

from __future__ import annotations

import random

from pipeline.config.tiny_base import TextBase
from pipeline.tiny_base.tokenizers import END, TURN_END, TURN_START

NAMES = ("Ana", "Ben", "Chen", "Dara", "Emil", "Fatima", "Goran", "Hana")
THINGS = ("apples", "books", "coins", "eggs", "pencils", "shells", "stamps", "tickets")
PLACES = ("kitchen", "garden", "school", "market", "office", "river", "station", "library")
CHAT_SHARE = 0.25
CHOICE_SHARE = 0.3
TOKENIZER_DOCUMENTS = 400


class TextCorpus:
    """An endless stream of short documents; equal configs give equal streams."""

    def __init__(self, config: TextBase) -> None:
        self._rng = random.Random(f"text/{config.seed}")

    def document(self) -> tuple[str, str]:
        """A prompt and what follows it, with its own end mark (`<eos>` or `<|im_end|>`)."""
        question, answer = self._choice() if self._rng.random() < CHOICE_SHARE else self._sum()
        if self._rng.random() < CHAT_SHARE:
            return f"{TURN_START}user\n{question}{TURN_END}\n{TURN_START}assistant\n", f"{answer}{TURN_END}"
        return f"Q: {question}\nA:", f" {answer}{END}"

    def _sum(self) -> tuple[str, str]:
        rng = self._rng
        name, things = rng.choice(NAMES), rng.choice(THINGS)
        have, more = rng.randrange(1, 20), rng.randrange(1, 20)
        total = have + more
        if rng.random() < 0.5:
            question = f"{name} has {have} {things} and buys {more} more. How many {things} is that?"
            work = f"{name} had {have} {things} and bought {more}. {have} + {more} = {total}."
        else:
            question = f"The box holds {total} {things}. {name} takes {more}. How many {things} are left?"
            work = f"{name} took {more} of the {total} {things}. {total} - {more} = {have}."
            total = have
        return question, f"{work}\n#### {total}"

    def _choice(self) -> tuple[str, str]:
        rng = self._rng
        places = rng.sample(PLACES, 5)
        name, key = rng.choice(NAMES), rng.randrange(5)
        lines = "\n".join(f"({'abcde'[i]}) {place}" for i, place in enumerate(places))
        question = f"Where would {name} look for {rng.choice(THINGS)}?\nAnswer Choices:\n{lines}"
        work = f"The answer should be a place with such things. {name} would go to the {places[key]}."
        return question, f"{work} Therefore, the answer is {places[key]} ({'abcde'[key]})."


def tokenizer_texts(config: TextBase) -> list[str]:
    """What the byte-level BPE is trained on: documents without special tokens."""
    corpus = TextCorpus(config)
    texts = ["".join(corpus.document()) for _ in range(TOKENIZER_DOCUMENTS)]
    marks = (END, TURN_START, TURN_END)
    for mark in marks:
        texts = [text.replace(mark, " ") for text in texts]
    return texts
