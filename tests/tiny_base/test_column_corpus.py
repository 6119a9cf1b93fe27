"""The corpus of the demo's base: what it teaches, and what it must not."""

from collections import Counter

from pipeline.config.tiny_base import ColumnAdditionBase
from pipeline.problems.column_addition import parse_question, parse_rationale, render_answer
from pipeline.tiny_base import known_facts
from pipeline.tiny_base.column_corpus import WORDS, ColumnCorpus

CONFIG = ColumnAdditionBase(seed=5)
KNOWN = known_facts(CONFIG)


def documents(config: ColumnAdditionBase = CONFIG, count: int = 3000):
    """(prompt, completion, pairs, columns, answer, hint) of documents."""
    corpus = ColumnCorpus(config, known_facts(config))
    for _ in range(count):
        prompt, completion = corpus.document()
        question, _, hint = prompt.removeprefix("Q: ").removesuffix(" A:").partition(" Hint: ")
        parsed = parse_rationale(completion)
        assert parsed is not None
        yield prompt, completion, parse_question(question), *parsed, hint


def test_known_facts_are_as_many_as_the_config_says_and_differ_by_seed():
    assert len(KNOWN) == 40
    assert known_facts(CONFIG) == KNOWN
    assert known_facts(ColumnAdditionBase(seed=6)) != KNOWN


def test_corpus_every_word_is_in_the_vocabulary():
    assert len(set(WORDS)) == len(WORDS)
    for prompt, completion, *_ in documents(count=500):
        assert set(f"{prompt} {completion}".split()) <= set(WORDS)


def test_corpus_taught_pairs_are_always_worked_out_truly():
    seen = 0
    for _, _, pairs, columns, _, _ in documents():
        carry = 0
        for pair, column in zip(pairs, columns, strict=True):
            assert (column.top, column.bottom) == pair
            if pair in KNOWN:
                assert (column.carry, column.digit) == divmod(sum(pair) + carry, 10)
                seen += 1
            carry = column.carry
    assert seen > 3000


def test_corpus_other_pairs_have_random_digits_and_carries_true_nine_times_in_ten():
    digits: Counter[bool] = Counter()
    carries: Counter[bool] = Counter()
    for _, _, pairs, columns, _, _ in documents():
        carry = 0
        for pair, column in zip(pairs, columns, strict=True):
            if pair not in KNOWN:
                true_carry, true_digit = divmod(sum(pair) + carry, 10)
                digits[column.digit == true_digit] += 1
                carries[column.carry == true_carry] += 1
            carry = column.carry
    assert 0.07 < digits[True] / digits.total() < 0.13
    assert 0.87 < carries[True] / carries.total() < 0.93


def test_corpus_answer_line_agrees_with_its_own_scratchpad():
    for prompt, _, _, columns, answer, _ in documents(count=500):
        first = "abcdefgh".index(prompt.split()[1])
        assert answer == render_answer(columns, first)


def test_corpus_hints_stand_in_short_documents_only_and_show_the_documents_own_answer():
    hinted: Counter[int] = Counter()
    sizes: Counter[int] = Counter()
    wrong = 0
    for _, _, pairs, _, answer, hint in documents():
        sizes[len(pairs)] += 1
        if hint:
            hinted[len(pairs)] += 1
            assert hint == answer
            wrong += any(
                int(digit[1:]) != sum(pair) % 10
                for digit, pair in zip(hint.split()[1::2], pairs, strict=True)
            )
    assert set(hinted) == {1, 2}
    assert 0.4 < hinted[1] / sizes[1] < 0.6
    assert wrong > 100


def test_corpus_sizes_go_up_to_max_columns_and_short_ones_are_most_frequent():
    sizes = Counter(len(pairs) for _, _, pairs, *_ in documents())
    assert set(sizes) == {1, 2, 3, 4, 5}
    assert sizes[1] > sizes[3] > sizes[5]


def test_corpus_half_of_the_documents_or_more_use_taught_pairs_only():
    long = [pairs for _, _, pairs, *_ in documents() if len(pairs) >= 3]
    taught = sum(all(pair in KNOWN for pair in pairs) for pairs in long)
    assert 0.48 < taught / len(long) < 0.62


def test_corpus_without_known_facts_still_gives_documents():
    config = ColumnAdditionBase(known_facts=0)
    assert all(columns for _, _, _, columns, _, _ in documents(config, count=50))


def test_corpus_equal_configs_give_equal_streams():
    assert list(documents(count=50)) == list(documents(count=50))
    assert list(documents(count=50)) != list(documents(ColumnAdditionBase(seed=6), count=50))
