"""The paper's n-digit addition: its scratchpad as in figure 3, its parsing, its splits."""

import random
from collections import Counter

import pytest

from pipeline.config.problems import DigitAdditionSource
from pipeline.problems.digit_addition import (
    generate,
    parse_answer,
    parse_question,
    render_answer,
    render_question,
    render_scratchpad,
)
from pipeline.problems.question_space import split_of
from pipeline.records import Split

FIGURE_3 = """<scratch>
6 2 4 + 2 5 9 , C: 0
2 + 5 , 3 C: 1
6 + 2 , 8 3 C: 0
, 8 8 3 C: 0
0 8 8 3
</scratch>
8 8 3"""


def test_scratchpad_of_the_papers_example_equals_figure_3():
    assert render_scratchpad(parse_question("6 2 4 + 2 5 9")) == FIGURE_3


def test_scratchpad_with_a_last_carry_leads_with_it():
    text = render_scratchpad(((9, 5), (9, 0)))
    assert text.split("\n")[-3:] == ["1 0 4", "</scratch>", "1 0 4"]


def test_answer_agrees_with_integer_addition_for_random_pairs():
    rng = random.Random(1)
    for _ in range(300):
        pairs = tuple((rng.randrange(10), rng.randrange(10)) for _ in range(rng.randint(1, 12)))
        top, bottom = (int("".join(side.split())) for side in render_question(pairs).split("+"))
        digits = "".join(render_answer(pairs).split())
        assert int(digits) == top + bottom
        assert parse_answer(render_scratchpad(pairs)) == render_answer(pairs)


@pytest.mark.parametrize("text", ["", "1 2", "1 2 + 3", "12 + 34", "1 a + 2 3"])
def test_question_of_another_form_is_a_value_error(text):
    with pytest.raises(ValueError, match="is not like"):
        parse_question(text)


def test_answer_of_a_text_without_closed_scratchpad_is_none():
    assert parse_answer(FIGURE_3.split("</scratch>")[0]) is None
    assert parse_answer("<scratch>\n</scratch>\n") is None


def test_generate_gives_distinct_problems_whose_split_is_a_function_of_the_text():
    problems, notes = generate(DigitAdditionSource(train=300, dev=40, max_digits=4), "digits")
    assert len({problem.question for problem in problems}) == len(problems)
    assert all(split_of(problem.question) is problem.split for problem in problems)
    assert {problem.difficulty for problem in problems} == {"1", "2", "3", "4"}
    assert len([problem for problem in problems if problem.split is Split.DEV]) == 40
    assert notes[0].startswith("digits: 300 train questions: 59 of 1 digit (all its space has in this split)")


def test_generate_counts_add_up_to_what_was_asked_for():
    problems, _ = generate(DigitAdditionSource(), "digits")
    by_split = Counter(problem.split for problem in problems)
    assert by_split == {Split.TRAIN: 5000, Split.EVAL: 420}
