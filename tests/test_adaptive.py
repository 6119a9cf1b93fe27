"""Adaptive sampling: what the next wave draws, and why a problem gets no more, for any verdicts."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.adaptive import PRIOR, Tally, expectations, next_wave, stop_reason, stops
from pipeline.config.experiment import AdaptiveConfig
from pipeline.records import Outcome, StopReason

LENGTH = 10
CONFIGS = st.builds(
    AdaptiveConfig,
    enough=st.integers(1, 4),
    first=st.integers(1, 4),
    give_up=st.sampled_from([0.0, 0.05, 0.3]),
    budget=st.one_of(st.none(), st.integers(1, 200)),
)
RATES = st.lists(st.sampled_from([0.0, 0.02, 0.3, 0.7, 1.0]), min_size=1, max_size=12)


def tally(name: str = "p", difficulty: str | None = None, *outcomes: str) -> Tally:
    """A problem whose first samples had these outcomes, each text another, each 10 tokens long."""
    made = Tally(name, difficulty)
    for number, outcome in enumerate(outcomes):
        made.add(outcome, LENGTH, str(number), complete=True, again=False, early=True)
    return made


def sampled(
    rates: list[float], config: AdaptiveConfig, most: int, seed: int
) -> tuple[list[Tally], list[Mapping[str, int]]]:
    """Sample problems of these pass rates until there is no next wave: their tallies and the waves."""
    tallies = {f"p{index:02d}": Tally(f"p{index:02d}", str(index % 3)) for index in range(len(rates))}
    waves: list[Mapping[str, int]] = []
    while wave := next_wave(list(tallies.values()), config, most):
        for name, number in wave.items():
            for sample in range(tallies[name].samples, tallies[name].samples + number):
                drawn = random.Random(f"{seed} {name} {sample}").random()
                outcome = Outcome.CORRECT if drawn < rates[int(name[1:])] else Outcome.WRONG
                tallies[name].add(outcome, LENGTH, str(sample), complete=True, again=False, early=not waves)
        waves.append(wave)
    return list(tallies.values()), waves


@given(RATES, CONFIGS, st.integers(4, 40), st.integers(0, 3))
def test_waves_end_and_every_problem_has_a_reason_that_its_counts_bear_out(
    rates: list[float], config: AdaptiveConfig, most: int, seed: int
) -> None:
    tallies, _ = sampled(rates, config, most, seed)
    reasons = stops(tallies, config, most)
    assert set(reasons) == {each.problem_id for each in tallies}
    for each in tallies:
        reason, rate = reasons[each.problem_id]
        assert config.first <= each.samples <= most
        assert (reason == StopReason.ENOUGH) == (each.kept >= config.enough)
        assert 0 < rate < 1
        if reason == StopReason.SAMPLES:
            assert each.samples == most
        if reason == StopReason.HOPELESS:
            assert rate < config.give_up
        if reason == StopReason.BUDGET:
            assert config.budget is not None


@given(RATES, CONFIGS, st.integers(4, 40), st.integers(0, 3))
def test_budget_is_not_exceeded_by_later_waves_where_all_texts_are_equally_long(
    rates: list[float], config: AdaptiveConfig, most: int, seed: int
) -> None:
    tallies, _ = sampled(rates, config, most, seed)
    first = config.first * LENGTH * len(rates)
    if config.budget is not None:
        assert sum(each.tokens for each in tallies) <= max(first, config.budget * len(rates))


@given(RATES, st.integers(1, 3), st.integers(4, 40), st.integers(0, 3))
def test_without_budget_and_giving_up_a_problem_stops_short_only_with_enough(
    rates: list[float], enough: int, most: int, seed: int
) -> None:
    tallies, _ = sampled(rates, AdaptiveConfig(enough=enough), most, seed)
    assert all(each.kept >= enough or each.samples == most for each in tallies)


@given(RATES, CONFIGS, st.integers(4, 40), st.integers(0, 3))
def test_waves_are_the_same_whatever_the_order_of_the_problems(
    rates: list[float], config: AdaptiveConfig, most: int, seed: int
) -> None:
    tallies, waves = sampled(rates, config, most, seed)
    assert (tallies, waves) == sampled(rates, config, most, seed)
    assert next_wave(tallies[::-1], config, most + 5) == next_wave(tallies, config, most + 5)


def test_first_wave_draws_as_many_of_every_problem() -> None:
    config = AdaptiveConfig(first=3, enough=2, budget=1)
    assert next_wave([tally("a"), tally("b")], config, 8) == {"a": 3, "b": 3}


def test_wave_draws_half_of_what_a_problem_is_expected_to_need_and_at_most_doubles_it() -> None:
    config = AdaptiveConfig(first=4, enough=2)
    likely = tally("l", "likely", "correct", "wrong", "wrong", "wrong")
    rate = expectations([likely])["l"].rate
    assert next_wave([likely], config, 100) == {"l": math.ceil(1 / rate / 2)} == {"l": 2}
    hard = [tally(f"h{index}", "hard", *["wrong"] * 4) for index in range(20)]
    assert next_wave(hard, config, 1000)["h0"] == 4
    assert next_wave(hard, config, 6)["h0"] == 2


def test_pass_rate_of_a_problem_leans_on_that_of_its_difficulty() -> None:
    easy = [tally(f"e{index}", "easy", "correct") for index in range(8)]
    hard = [tally(f"h{index}", "hard", "wrong") for index in range(8)]
    new_easy, new_hard = tally("e", "easy", "wrong"), tally("h", "hard", "wrong")
    rates = expectations([*easy, *hard, new_easy, new_hard])
    assert rates["e"].rate > 2 * rates["h"].rate
    many = tally("m", "easy", *["wrong"] * 100)
    assert expectations([*easy, many])["m"].rate < PRIOR / 100


def test_later_samples_of_failing_problems_do_not_make_the_others_look_hard() -> None:
    solved, failing = tally("s", None, "correct"), tally("f", None, "wrong")
    before = expectations([solved, failing])["s"]
    for number in range(50):
        failing.add("wrong", LENGTH, f"later {number}", complete=True, again=False, early=False)
    assert expectations([solved, failing])["s"] == before


def test_ungraded_sample_is_drawn_but_says_nothing_about_the_problem() -> None:
    config = AdaptiveConfig(give_up=0.2)
    wrong, ungraded = tally("w", "x", *["wrong"] * 9), tally("u", "x", *["ungraded"] * 9)
    rates = expectations([wrong, ungraded])
    assert rates["u"].rate > rates["w"].rate
    assert stop_reason(wrong, rates["w"].rate, config, 10) == StopReason.HOPELESS
    assert stop_reason(ungraded, 0.5, config, 10) is None
    assert stop_reason(ungraded, 0.5, config, 9) == StopReason.SAMPLES


def test_budget_goes_to_unsolved_problems_first_and_of_those_to_the_likely_ones() -> None:
    solved = tally("solved", "easy", "correct", "correct", "wrong")
    likely, unlikely = tally("likely", "easy", *["wrong"] * 3), tally("unlikely", "hard", *["wrong"] * 3)
    problems = [unlikely, solved, likely]
    config = AdaptiveConfig(enough=3, first=3, budget=40)
    assert set(next_wave(problems, config.model_copy(update={"budget": None}), 20)) == {
        "likely", "unlikely", "solved",
    }  # fmt: skip
    wave = next_wave(problems, config, 20)
    assert wave["likely"] > 0
    assert "solved" not in wave
    assert sum(wave.values()) * LENGTH <= 40 * 3 - 90


@pytest.mark.parametrize(("again", "kept"), [(False, 1), (True, 2)])
def test_equal_texts_are_kept_once_unless_duplicates_are(again: bool, kept: int) -> None:
    made = Tally("p", None)
    for _ in range(2):
        made.add("correct", LENGTH, "same words", complete=True, again=again, early=True)
    assert (made.passed, made.kept) == (2, kept)


def test_cut_off_sample_that_is_correct_counts_only_where_it_would_be_kept() -> None:
    made = Tally("p", None)
    made.add("correct", LENGTH, "text", complete=False, again=False, early=True)
    assert (made.graded, made.passed, made.kept) == (1, 0, 0)
