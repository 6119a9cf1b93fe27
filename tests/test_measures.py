"""Intervals and estimators against values known from elsewhere."""

from __future__ import annotations

import itertools

import pytest

from pipeline.measures import majority, mcnemar, mean_interval, paired_difference, pass_at_k, wilson


def test_wilson_known_example_gives_published_interval() -> None:
    # R: binom::binom.wilson(81, 263) gives 0.2553, 0.3662
    share = wilson(81, 263)
    assert (round(share.value, 4), round(share.low, 4), round(share.high, 4)) == (0.3080, 0.2553, 0.3662)


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (10, 10), (0, 1), (1, 1)])
def test_wilson_at_the_edges_stays_within_zero_and_one(successes: int, trials: int) -> None:
    share = wilson(successes, trials)
    assert 0.0 <= share.low <= share.value <= share.high <= 1.0
    assert share.high - share.low > 0


def test_wilson_without_trials_knows_nothing() -> None:
    assert wilson(0, 0).low == 0.0
    assert wilson(0, 0).high == 1.0


@pytest.mark.parametrize(("samples", "correct", "k"), [(5, 2, 1), (5, 2, 3), (6, 1, 4), (4, 4, 2), (4, 0, 2)])
def test_pass_at_k_equals_the_share_over_all_draws(samples: int, correct: int, k: int) -> None:
    outcomes = [True] * correct + [False] * (samples - correct)
    draws = [any(draw) for draw in itertools.combinations(outcomes, k)]
    assert pass_at_k(samples, correct, k) == pytest.approx(sum(draws) / len(draws))


def test_pass_at_k_with_too_few_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="pass@4 needs at least 4 samples, got 3"):
        pass_at_k(3, 1, 4)


def test_majority_counts_only_parsed_answers_and_takes_the_first_of_the_winner() -> None:
    assert majority([None, "7", "8", "8", None, None]) == 2
    assert majority([None, None]) is None


def test_paired_difference_follows_the_discordant_pairs() -> None:
    before = [True] * 50 + [False] * 50
    after = [True] * 45 + [False] * 5 + [True] * 20 + [False] * 30
    difference = paired_difference(before, after)
    assert difference.value == pytest.approx(0.15)
    assert difference.low > 0.0
    assert difference.high == pytest.approx(0.15 + (0.15 - difference.low))


def test_paired_difference_of_other_problems_is_refused() -> None:
    with pytest.raises(ValueError, match="expected the same problems"):
        paired_difference([True], [True, False])


def test_mean_interval_of_equal_values_has_no_width() -> None:
    share = mean_interval([0.5] * 10)
    assert (share.value, share.low, share.high) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("gained", "lost", "expected"),
    [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 0.0625), (10, 2, 0.03857421875), (7, 7, 1.0)],
)
def test_mcnemar_is_the_exact_binomial_test_of_the_discordant_pairs(
    gained: int, lost: int, expected: float
) -> None:
    # R: binom.test(gained, gained + lost)$p.value; statsmodels' mcnemar(exact=True) gives the same
    assert mcnemar(gained, lost) == pytest.approx(expected)
    assert mcnemar(lost, gained) == mcnemar(gained, lost)


def test_mcnemar_of_many_pairs_stays_a_probability() -> None:
    assert 0.0 < mcnemar(40_000, 39_000) < 0.001
