"""Pairs of two lists: no pair twice, every text before one stands a second time, none missing."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pipeline.export.pairs import pairs_of


@given(st.integers(0, 7), st.integers(0, 7), st.integers(1, 60))
def test_pairs_are_different_and_use_the_texts_of_a_side_evenly(kept: int, wrong: int, most: int) -> None:
    first, second = [f"k{index}" for index in range(kept)], [f"w{index}" for index in range(wrong)]
    pairs = pairs_of(first, second, most)
    assert len(pairs) == len(set(pairs)) == min(most, kept * wrong)
    assert all(one in first and other in second for one, other in pairs)
    longer = 0 if kept >= wrong else 1
    for side, texts in ((longer, (first, second)[longer]), (1 - longer, (first, second)[1 - longer])):
        uses = Counter({text: 0 for text in texts})
        uses.update(pair[side] for pair in pairs)
        spread = max(uses.values(), default=0) - min(uses.values(), default=0)
        # The shorter side's turns are shifted by one at each lap of the longer one.
        assert spread <= (1 if side == longer else 2)
