"""Column addition: its text, its gold scratchpad, and the splits of its space."""

import random

import pytest

from pipeline.config.problems import ColumnAdditionSource
from pipeline.problems.column_addition import (
    Column,
    generate,
    parse_question,
    parse_rationale,
    render_answer,
    render_question,
    render_rationale,
    work_out,
)
from pipeline.problems.question_space import share_out, split_of
from pipeline.records import Split


def test_question_of_three_columns_reads_as_documented():
    assert render_question(((4, 9), (2, 5), (6, 2))) == "a 4 +9 b 2 +5 c 6 +2"


def test_gold_rationale_of_three_columns_reads_as_documented():
    columns = work_out(((4, 9), (2, 5), (6, 2)))
    assert render_rationale(columns) == "a 4 +9 =3 c1 b 2 +5 =8 c0 c 6 +2 =8 c0 Ans: a =3 b =8 c =8 c0"


def test_work_out_agrees_with_integer_addition_for_random_pairs():
    rng = random.Random(0)
    for _ in range(300):
        pairs = tuple((rng.randrange(10), rng.randrange(10)) for _ in range(rng.randint(1, 8)))
        columns = work_out(pairs)
        top = sum(pair[0] * 10**i for i, pair in enumerate(pairs))
        bottom = sum(pair[1] * 10**i for i, pair in enumerate(pairs))
        total = sum(column.digit * 10**i for i, column in enumerate(columns)) + columns[-1].carry * 10 ** len(
            pairs
        )
        assert total == top + bottom


def test_labels_start_at_the_given_one():
    assert render_question(((1, 2), (3, 4)), first=7) == "h 1 +2 i 3 +4"
    assert render_answer([Column(1, 2, 3, 0), Column(3, 4, 7, 0)], first=7) == "h =3 i =7 c0"


def test_question_parsed_gives_the_pairs_it_was_rendered_from():
    pairs = ((0, 0), (9, 9), (5, 4))
    assert parse_question(render_question(pairs)) == pairs


@pytest.mark.parametrize("text", ["", "a 4", "a 4 9", "a 14 +9", "a four +9", "a 4 +"])
def test_question_of_another_form_is_a_value_error(text):
    with pytest.raises(ValueError, match="is not"):
        parse_question(text)


def test_rationale_parsed_gives_columns_and_answer():
    columns = work_out(((7, 8), (1, 1)))
    parsed = parse_rationale(render_rationale(columns))
    assert parsed == (columns, "a =5 b =3 c0")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a 4 +9 =3 c1",
        "a 4 +9 =3 Ans: a =3",
        "a 4 +9 =3 c2 Ans: a =3",
        "a 4 9 =3 c1 Ans: a =3",
        "Ans: a =3",
    ],
)
def test_rationale_of_another_form_is_none(text):
    assert parse_rationale(text) is None


def test_generate_default_gives_distinct_questions_with_gold_answers():
    problems, _ = generate(ColumnAdditionSource(train=500, dev=50), "columns")
    assert len({problem.question for problem in problems}) == len(problems)
    assert len({problem.problem_id for problem in problems}) == len(problems)
    for problem in problems:
        columns = work_out(parse_question(problem.question))
        assert problem.answer == render_answer(columns)
        assert problem.solution == render_rationale(columns)
        assert problem.difficulty == str(len(columns))
        assert problem.source == "columns"


def test_split_of_every_generated_question_is_a_function_of_its_text():
    problems, _ = generate(ColumnAdditionSource(train=400, dev=60), "columns")
    assert all(split_of(problem.question) is problem.split for problem in problems)


def test_generate_other_seeds_and_sizes_never_train_on_an_eval_question():
    held_out: set[str] = set()
    trained: set[str] = set()
    for seed in range(5):
        problems, _ = generate(ColumnAdditionSource(train=400 + seed, dev=seed, seed=seed), "columns")
        held_out |= {problem.question for problem in problems if problem.split is not Split.TRAIN}
        trained |= {problem.question for problem in problems if problem.split is Split.TRAIN}
    assert not held_out & trained


def test_generate_same_seed_is_repeatable_and_another_seed_differs():
    first, _ = generate(ColumnAdditionSource(train=200, seed=3), "columns")
    again, _ = generate(ColumnAdditionSource(train=200, seed=3), "columns")
    other, _ = generate(ColumnAdditionSource(train=200, seed=4), "columns")
    assert first == again
    assert [problem.question for problem in first] != [problem.question for problem in other]


def test_generate_more_train_questions_leaves_the_eval_questions_as_they_are():
    few, _ = generate(ColumnAdditionSource(train=50), "columns")
    many, _ = generate(ColumnAdditionSource(train=900), "columns")

    def held_out(problems):
        return [problem.question for problem in problems if problem.split is Split.EVAL]

    assert held_out(few) == held_out(many)


def test_generate_one_column_space_too_small_reports_the_shortage_and_fills_up_with_longer_ones():
    problems, notes = generate(ColumnAdditionSource(train=1000, max_columns=2), "columns")
    one = [problem for problem in problems if problem.split is Split.TRAIN and problem.difficulty == "1"]
    train = [problem for problem in problems if problem.split is Split.TRAIN]
    assert 50 <= len(one) < 100
    assert len(train) == 1000
    assert f"{len(one)} of 1 column (all its space has in this split)" in notes[0]


def test_generate_more_than_the_whole_space_says_how_many_there_are():
    problems, notes = generate(ColumnAdditionSource(train=90, max_columns=1, eval_per_size={1: 99}), "tiny")
    train = [problem for problem in problems if problem.split is Split.TRAIN]
    held_out = [problem for problem in problems if problem.split is Split.EVAL]
    assert len(train) < 90
    assert f"tiny: {len(train)} train questions instead of the 90 asked for" in notes[0]
    assert f"tiny: {len(held_out)} eval questions instead of the 99 asked for" in notes[1]


def test_generate_sizes_beyond_max_columns_are_not_evaluated():
    problems, _ = generate(ColumnAdditionSource(train=20, max_columns=2), "columns")
    assert {problem.difficulty for problem in problems if problem.split is Split.EVAL} == {"1", "2"}


def test_one_column_eval_space_holds_the_thirty_of_the_default_config():
    problems, _ = generate(ColumnAdditionSource(train=10), "columns")
    one = [problem for problem in problems if problem.split is Split.EVAL and problem.difficulty == "1"]
    assert len(one) == 30


@pytest.mark.parametrize(
    ("total", "expected"),
    [(30, {1: 10, 2: 10, 3: 10}), (100, {1: 10, 2: 45, 3: 45}), (500, {1: 10, 2: 50, 3: 200})],
)
def test_share_out_fills_small_sizes_first_and_passes_the_rest_on(total, expected):
    assert share_out(total, {1: 10, 2: 50, 3: 200}) == expected
