"""Which attempts are kept, rule by rule: every test asserts changed rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.experiment import SelectConfig
from pipeline.identity import norm_hash
from pipeline.records import Attempt, FinishReason, Origin, Outcome, RejectionReason
from pipeline.selection import Selection, equations, select


def attempt(problem: str = "p", sample: int = 0, text: str | None = None, **fields: Any) -> Attempt:
    """A correct generated attempt of round 1, with fields replaced."""
    origin = fields.pop("origin", Origin.GENERATED)
    round_ = fields.pop("round", 1)
    text = f"{problem} {origin} {sample} = {sample}" if text is None else text
    made = Attempt(
        rationale_id=f"{problem}-{round_}-{origin}-{sample}",
        problem_id=problem,
        round=round_,
        origin=origin,
        sample=sample,
        text=text,
        answer="1",
        hint=" (1)" if origin is Origin.RATIONALIZED else None,
        finish_reason=FinishReason.EOS,
        completion_tokens=10,
        norm_hash=norm_hash(text),
        mean_logprob=-1.0,
        outcome=Outcome.CORRECT,
        score=1.0,
        reason="exact",
    )
    return replace(made, **fields)


def hinted(problem: str = "p", sample: int = 0, text: str | None = None, **fields: Any) -> Attempt:
    return attempt(problem, sample, text, origin=Origin.RATIONALIZED, **fields)


def run(attempts: list[Attempt], seed: int = 0, **config: Any) -> Selection:
    return select(attempts, SelectConfig(**config), seed=seed, round_=1)


def kept(selection: Selection) -> list[str]:
    return [one.rationale_id for one in selection.kept]


def reasons(selection: Selection) -> dict[str | None, RejectionReason]:
    return {one.rationale_id: one.reason for one in selection.rejections}


WRONG = {"outcome": Outcome.WRONG, "score": 0.0}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"finish_reason": FinishReason.PROMPT_TOO_LONG, **WRONG}, RejectionReason.PROMPT_TOO_LONG),
        ({"finish_reason": FinishReason.LENGTH}, RejectionReason.CUT_OFF),
        ({"finish_reason": FinishReason.LENGTH, **WRONG}, RejectionReason.CUT_OFF),
        (WRONG, RejectionReason.WRONG),
        ({"outcome": Outcome.UNGRADED, "reason": "timeout"}, RejectionReason.UNGRADED),
    ],
)
def test_select_unfit_attempt_is_left_out_with_its_reason(fields: Any, reason: RejectionReason) -> None:
    selection = run([attempt(sample=0), attempt("q", **fields)])
    assert kept(selection) == ["p-1-generated-0"]
    assert reasons(selection) == {"q-1-generated-0": reason}


def test_select_rejection_of_a_verdict_says_its_reason_and_answer() -> None:
    selection = run([attempt(**WRONG, answer="41", **{"reason": "different"})])
    assert selection.rejections[0].detail == "different, answer '41'"


def test_select_cut_off_true_keeps_correct_texts_that_were_cut_off() -> None:
    cut = attempt(finish_reason=FinishReason.LENGTH)
    assert kept(run([cut], cut_off=True)) == [cut.rationale_id]
    wrong = replace(cut, outcome=Outcome.WRONG)
    assert reasons(run([wrong], cut_off=True)) == {cut.rationale_id: RejectionReason.WRONG}


def test_select_filter_none_keeps_wrong_and_ungraded_but_not_empty_or_cut_off() -> None:
    attempts = [
        attempt("a", **WRONG),
        attempt("b", outcome=Outcome.UNGRADED),
        attempt("c", text="  "),
        attempt("d", finish_reason=FinishReason.LENGTH),
    ]
    selection = run(attempts, filter="none", min_correct=3)
    assert kept(selection) == ["a-1-generated-0", "b-1-generated-0"]
    assert reasons(selection) == {
        "c-1-generated-0": RejectionReason.QUALITY,
        "d-1-generated-0": RejectionReason.CUT_OFF,
    }


@pytest.mark.parametrize(
    "text", ["As THE GIVEN ANSWER says, 72.", "we work backwards from 72", "(e) ink (correct)"]
)
def test_select_leak_phrase_rejects_rationalized_texts_only(text: str) -> None:
    selection = run([hinted("a", text=text), attempt("b", text=text)])
    assert kept(selection) == ["b-1-generated-0"]
    assert reasons(selection) == {"a-1-rationalized-0": RejectionReason.HINT_LEAKED}
    assert len(run([hinted("a", text=text)], leak_phrases=()).kept) == 1


def test_select_min_correct_counts_generated_samples_and_spares_rationalized() -> None:
    attempts = [attempt("p", n) for n in range(2)] + [attempt("p", 2, **WRONG), hinted("p"), attempt("q", 0)]
    selection = run(attempts, min_correct=2, per_problem=9)
    assert kept(selection) == ["p-1-generated-0", "p-1-generated-1", "p-1-rationalized-0"]
    assert reasons(selection)["q-1-generated-0"] is RejectionReason.TOO_FEW_CORRECT
    more = run(attempts, min_correct=3, per_problem=9)
    assert kept(more) == ["p-1-rationalized-0"]
    assert Counter(reasons(more).values())[RejectionReason.TOO_FEW_CORRECT] == 3


def test_select_min_correct_counts_repeats_before_they_are_left_out() -> None:
    attempts = [attempt("p", n, "same text") for n in range(2)]
    assert kept(run(attempts, min_correct=2)) == ["p-1-generated-0"]


def test_select_duplicates_by_normalised_text_go_unless_allowed() -> None:
    attempts = [
        attempt("p", 0, "So it\nis 72."),
        attempt("p", 1, "so  it is 72."),
        attempt("q", 0, "So it is 72."),
    ]
    selection = run(attempts, per_problem=4)
    assert kept(selection) == ["p-1-generated-0", "q-1-generated-0"]
    assert reasons(selection) == {"p-1-generated-1": RejectionReason.DUPLICATE}
    assert selection.rejections[0].detail == "reads as p-1-generated-0"
    assert len(run(attempts, per_problem=4, duplicates=True).kept) == 3


def test_select_duplicate_of_a_generated_text_is_the_rationalized_one() -> None:
    selection = run([hinted("p", 0, "same"), attempt("p", 3, "same")], per_problem=4)
    assert kept(selection) == ["p-1-generated-3"]


def test_select_cap_keeps_per_problem_and_prefers_texts_without_hint() -> None:
    attempts = [hinted("p", 0), attempt("p", 1), attempt("p", 2), attempt("p", 0, origin=Origin.IMPORTED)]
    selection = run(attempts, per_problem=2)
    assert kept(selection) == ["p-1-generated-1", "p-1-generated-2"]
    assert set(reasons(selection).values()) == {RejectionReason.OVER_PROBLEM_CAP}
    assert len(run(attempts, per_problem=3).kept) == 3
    assert len(run(attempts, per_problem=4).kept) == 4


def test_select_cap_counts_each_round_for_itself() -> None:
    attempts = [attempt("p", 0, round=1), attempt("p", 1, round=1), attempt("p", 0, "other", round=2)]
    assert kept(run(attempts)) == ["p-1-generated-0", "p-2-generated-0"]


CHOICES = [
    attempt("p", 0, "2+2 = 4 and 4+1 = 5", completion_tokens=9, mean_logprob=-0.9),
    attempt("p", 1, "so 2 + 2 = 4, then 4 + 1 = 5", completion_tokens=12, mean_logprob=-0.2),
    attempt("p", 2, "2+3 = 5", completion_tokens=4, mean_logprob=None),
]


@pytest.mark.parametrize(
    ("choose", "samples"),
    [
        ("first", [0, 1, 2]),
        ("shortest", [2, 0, 1]),
        ("highest_logprob", [1, 0, 2]),
        ("distinct_equations", [0, 2]),
    ],
)
def test_select_choose_takes_attempts_in_its_order(choose: str, samples: list[int]) -> None:
    for number in range(1, 4):
        selection = run(CHOICES, choose=choose, per_problem=number)
        assert [one.sample for one in selection.kept] == sorted(samples[:number])


def test_select_distinct_equations_calls_the_same_equations_a_duplicate() -> None:
    selection = run(CHOICES, choose="distinct_equations", per_problem=3)
    assert reasons(selection) == {"p-1-generated-1": RejectionReason.DUPLICATE}
    assert selection.rejections[0].detail == "has the equations of p-1-generated-0"


def test_select_random_depends_on_seed_and_problem_but_not_on_the_experiment() -> None:
    attempts = [attempt(f"p{number}", sample) for number in range(40) for sample in range(4)]
    chosen = [one.sample for one in run(attempts, choose="random").kept]
    assert len(chosen) == 40 and set(chosen) == {0, 1, 2, 3}
    assert chosen != [one.sample for one in run(attempts, seed=1, choose="random").kept]
    renamed = [replace(one, rationale_id=f"other-{one.rationale_id}") for one in attempts]
    assert chosen == [one.sample for one in run(renamed, choose="random").kept]


@pytest.mark.parametrize(
    ("share", "expected"), [(1.0, 30), (0.5, 10), (0.1, 1), (0.25, 3), (0.0, 0), (0.75, 30), (0.7, 23)]
)
def test_select_rationalized_share_is_capped_over_the_final_set(share: float, expected: int) -> None:
    attempts = [attempt(f"g{n}") for n in range(10)] + [hinted(f"r{n}") for n in range(30)]
    attempts += [attempt(f"w{n}", **WRONG) for n in range(50)]  # what is left out does not count
    selection = run(attempts, max_rationalized_share=share)
    origins = Counter(one.origin for one in selection.kept)
    assert origins == Counter({Origin.GENERATED: 10, Origin.RATIONALIZED: expected})
    over = [one for one in selection.rejections if one.reason is RejectionReason.OVER_RATIONALIZED_SHARE]
    assert len(over) == 30 - expected


def test_select_rationalized_share_draws_by_seed() -> None:
    attempts = [attempt(f"g{n}") for n in range(10)] + [hinted(f"r{n}") for n in range(30)]
    draws = {tuple(kept(run(attempts, seed=seed, max_rationalized_share=0.5))) for seed in range(5)}
    assert len(draws) == 5


def test_select_rationalized_share_without_others_leaves_nothing() -> None:
    assert run([hinted("p")], max_rationalized_share=0.9).kept == []


def test_select_evaluated_attempt_is_refused() -> None:
    with pytest.raises(ValueError, match="must not be trained on"):
        run([attempt(origin=Origin.EVALUATED)])


def test_select_of_nothing_is_empty() -> None:
    assert run([]) == Selection([], [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Natalia sold 48/2 = <<48/2=24>>24 clips, 48+24 = <<48+24=72>>72.", ("48/2=24", "48+24=72")),
        ("She has 12 x 2 = 24 pages.", ("12*2=24",)),
        ("3 × 4 = 12, 12 ÷ 4 = 3", ("3*4=12", "12/4=3")),
        ("$1,000 + $80.50 = $1,080.50.", ("1000+80.50=1080.50",)),
        ("(2 + 3) * 4 = 20; 20 - 30 = -10", ("(2+3)*4=20", "20-30=-10")),
        ("1 + 1 = 2 = 2", ("1+1=2",)),
        ("x = 5, so it is 5", ()),
        ("no equation at all", ()),
        ("=" * 50, ()),
    ],
)
def test_equations_are_read_in_order_and_normalised(text: str, expected: tuple[str, ...]) -> None:
    assert equations(text) == expected


def test_equations_of_the_same_sums_in_another_order_differ() -> None:
    assert equations("1+1 = 2, 2+2 = 4") != equations("2+2 = 4, 1+1 = 2")


attempts_of_any_kind = st.lists(
    st.builds(
        attempt,
        problem=st.sampled_from("abc"),
        sample=st.integers(0, 3),
        text=st.sampled_from(["", "1+1 = 2", "the hint says 2", "2", "2 = 1+1", "so 1 + 1 = 2"]),
        origin=st.sampled_from([Origin.GENERATED, Origin.RATIONALIZED, Origin.IMPORTED]),
        round=st.integers(1, 2),
        finish_reason=st.sampled_from(FinishReason),
        completion_tokens=st.integers(0, 3),
        mean_logprob=st.one_of(st.none(), st.floats(-2, 0)),
        outcome=st.sampled_from(Outcome),
    ),
    max_size=30,
    unique_by=lambda one: one.rationale_id,
)
configs = st.builds(
    SelectConfig,
    filter=st.sampled_from(["verified", "none"]),
    min_correct=st.integers(1, 3),
    per_problem=st.integers(1, 3),
    choose=st.sampled_from(["first", "random", "shortest", "highest_logprob", "distinct_equations"]),
    duplicates=st.booleans(),
    cut_off=st.booleans(),
    max_rationalized_share=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
)


@given(attempts_of_any_kind, configs, st.integers(0, 3), st.randoms())
def test_select_every_attempt_is_kept_or_rejected_once_whatever_the_order(
    attempts: list[Attempt], config: SelectConfig, seed: int, random: Any
) -> None:
    selection = select(attempts, config, seed=seed, round_=1)
    names = kept(selection) + [one.rationale_id for one in selection.rejections]
    assert sorted(map(str, names)) == sorted(one.rationale_id for one in attempts)

    shuffled = list(attempts)
    random.shuffle(shuffled)
    assert select(shuffled, config, seed=seed, round_=1) == selection

    rows = Counter((one.problem_id, one.round) for one in selection.kept)
    assert all(count <= config.per_problem for count in rows.values())
    if config.filter == "verified":
        assert all(one.outcome is Outcome.CORRECT for one in selection.kept)
    share = sum(one.origin is Origin.RATIONALIZED for one in selection.kept)
    assert share <= config.max_rationalized_share * len(selection.kept) + 1e-9
