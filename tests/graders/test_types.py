"""`choice`, `string_check`, `numeric`, `text_similarity`, `constraints`, `json_schema`, `python`, and extraction."""

import json
import time
from typing import Any

import pytest

from pipeline.errors import ConfigError
from pipeline.graders import build_grader, extract_answer, extraction, open_grading, parse_config, sandbox
from pipeline.graders.similarity import common_subsequence, similarity
from pipeline.records import GradeItem, Outcome, Verdict

CHOICES = {"a": "bank", "b": "library", "c": "department store", "d": "mall", "e": "enforce"}


def verdict_of(data: dict[str, Any], response: str, gold: str, **fields: Any) -> Verdict:
    with open_grading(parse_config(data), 1) as grading:
        [verdict] = grading.grade([GradeItem(key="k", answer=gold, response=response, **fields)])
    return verdict


@pytest.mark.parametrize(
    ("response", "key"),
    [
        ("The answer must keep things. Therefore, the answer is library (b).", "b"),
        ("So the answer is enforce (e)", "e"),
        ("(b)", "b"),
        ("b", "b"),
        ("b.", "b"),
        ("(B)", "b"),
        ("The answer is (c) department store.", "c"),
        ("Answer: **(d)**", "d"),
        ("the answer is b) library", "b"),
        ("The answer is library.", "b"),
        ("The answer is the mall", "d"),
        ("First (a) seems right. But no.\nThe answer is (b).", "b"),
        ("It is not a bank.\n(d)", "d"),
        ("\\boxed{\\text{(c)}}", "c"),
        ("The answer is a good one", None),
        ("The answer is (a) or (b).", None),
        ("I cannot tell.", None),
        ("The answer is B", None),
        ("The answer is (z).", None),
        ("", None),
    ],
)
def test_choice_finds_the_key_a_response_settles_on(response: str, key: str | None) -> None:
    assert extract_answer(parse_config({"type": "choice"}), response, CHOICES) == key


@pytest.mark.parametrize(
    ("response", "gold", "outcome"),
    [
        ("So the answer is (B) Au.\n\nAnswer: B", "B", Outcome.CORRECT),
        ("So the answer is c.\n\nAnswer: c", "C", Outcome.WRONG),
        ("C", "Alina and the answer is\nC Cecile", Outcome.CORRECT),
        ("D", "Alina and the answer is\nC Cecile", Outcome.WRONG),
    ],
)
def test_choice_without_known_choices(response: str, gold: str, outcome: Outcome) -> None:
    assert verdict_of({"type": "choice"}, response, gold).outcome is outcome


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("\\boxed{1} and more \\boxed{2}", "2"),
        ("\\boxed{-2} \\quad \\text{and} \\quad \\boxed{1}.", "-2, 1"),
        ("\\boxed{k = 45} \\quad \\text{and} \\quad \\boxed{n = 2}", "k = 45, n = 2"),
        ("\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("\\boxed{12", None),
        ("a\n#### 1,234.\n", "1,234"),
        ("#### 5\nthen\n#### 6", "6"),
        ("The answer is 42.", "42"),
        ("The final answer is: $\\frac{1}{2}$. I hope it is correct.", "\\frac{1}{2}"),
        ("The answer is 3.5 because of this.", "3.5"),
        ("work\nA: 70000", "70000"),
        ("**Answer:** 7", "7"),
        ("<think>The answer is 3.</think> The answer is 4.", "4"),
        ("The answer is not correct", None),
        ("We add and subtract and do no more", None),
        ("-5", "-5"),
    ],
)
def test_extraction_finds(text: str, answer: str | None) -> None:
    assert extract_answer(parse_config({"type": "math"}), text, {}) == answer


@pytest.mark.parametrize(
    "text",
    [
        "{" * 100_000, "\\boxed{" * 20_000, "\\boxed{1}" * 15_000, "$" * 100_000, "the answer is " * 10_000, "1," * 50_000,
        "#" * 100_000, "\\text{" * 20_000, "a " * 50_000, "(" * 100_000, "<answer>" * 12_000, "answer" + " x" * 50_000,
    ],
)  # fmt: skip
def test_extraction_of_hostile_text_is_quick(text: str) -> None:
    methods = ("boxed", "hash4", "answer_is", "answer_tag", "last_math", "bare", "last_number", "whole")
    started = time.process_time()
    for method in methods:
        extraction.extract(text, [method])
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("operation", "response", "outcome"),
    [
        ("eq", "12", Outcome.CORRECT),
        ("eq", "112", Outcome.WRONG),
        ("ne", "13", Outcome.CORRECT),
        ("like", "it is 12 now", Outcome.CORRECT),
        ("like", "it is 13 now", Outcome.WRONG),
    ],
)
def test_string_check_operations(operation: str, response: str, outcome: Outcome) -> None:
    assert verdict_of({"type": "string_check", "operation": operation}, response, "12").outcome is outcome


def test_string_check_marker_and_normalization() -> None:
    marked = {"type": "string_check", "answer_marker": "Ans:"}
    assert verdict_of(marked, "1 + 2\nAns: 3\n", "3").outcome is Outcome.CORRECT
    assert verdict_of(marked, "1 + 2 = 3", "3").reason == "no_answer"
    puzzle = {"preset": "puzzle"}
    text = "<think>About geography</think><answer>The capital of France is Paris.</answer>"
    assert verdict_of(puzzle, text, "capital of france is paris").outcome is Outcome.CORRECT
    assert verdict_of(puzzle, "<think>Paris</think>Rome", "Paris").outcome is Outcome.WRONG
    assert (
        verdict_of({"type": "string_check", "operation": "ilike"}, "PARIS it is", "paris").outcome
        is Outcome.CORRECT
    )


@pytest.mark.parametrize(
    ("response", "gold", "tolerance", "outcome"),
    [
        ("The total is $1,234.", "1234", 0.0, Outcome.CORRECT),
        ("It is 12%.", "0.12", 0.0, Outcome.CORRECT),
        ("about 99.5", "100", 0.01, Outcome.CORRECT),
        ("about 98", "100", 0.01, Outcome.WRONG),
        ("none", "100", 0.0, Outcome.WRONG),
        ("5 apples", "5", 0.0, Outcome.CORRECT),
        ("7", "seven", 0.0, Outcome.UNGRADED),
    ],
)
def test_numeric(response: str, gold: str, tolerance: float, outcome: Outcome) -> None:
    assert verdict_of({"type": "numeric", "tolerance": tolerance}, response, gold).outcome is outcome


def test_similarity_of_known_pairs() -> None:
    assert common_subsequence("kitten", "sitting") == 4
    assert similarity("fuzzy_match", "kitten", "sitting") == pytest.approx(8 / 13)
    assert similarity("rouge_1", "the cat sat", "the cat ran") == pytest.approx(2 / 3)
    assert similarity("rouge_l", "a b c d", "a c d") == pytest.approx(6 / 7)
    assert similarity("cosine", "a b", "b c") == pytest.approx(0.5)
    for metric in ("fuzzy_match", "bleu", "gleu", "cosine", "rouge_1", "rouge_5", "rouge_l"):
        assert similarity(metric, "same text here", "same text here") == 1.0
        assert similarity(metric, "abc", "xyz") == 0.0
        assert 0 <= similarity(metric, "the cat sat on a mat today", "the cat sat on the mat today") < 1


def test_text_similarity_passes_from_the_threshold_on() -> None:
    data = {"type": "text_similarity", "evaluation_metric": "rouge_1", "pass_threshold": 0.6}
    assert verdict_of(data, "the cat sat", "the cat ran").outcome is Outcome.CORRECT
    assert verdict_of({**data, "pass_threshold": 0.7}, "the cat sat", "the cat ran").outcome is Outcome.WRONG


IFEVAL = [
    ("punctuation:no_comma", {}, "No comma here.", True),
    ("punctuation:no_comma", {}, "One, two.", False),
    ("keywords:existence", {"keywords": ["Alpha", "beta"]}, "alpha and Beta", True),
    ("keywords:forbidden_words", {"forbidden_words": ["cat"]}, "concatenate", True),
    ("keywords:forbidden_words", {"forbidden_words": ["cat"]}, "A Cat.", False),
    ("keywords:frequency", {"keyword": "x", "frequency": 2, "relation": "at least"}, "x X", True),
    (
        "keywords:letter_frequency",
        {"letter": "e", "let_frequency": 3, "let_relation": "less than"},
        "eee",
        False,
    ),
    ("length_constraints:number_words", {"num_words": 3, "relation": "at least"}, "one two", False),
    (
        "length_constraints:number_sentences",
        {"num_sentences": 2, "relation": "at least"},
        "Dr. No came. He left.",
        True,
    ),
    (
        "length_constraints:number_sentences",
        {"num_sentences": 3, "relation": "at least"},
        "Dr. No paid 3.5 euro.",
        False,
    ),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "one\n***\ntwo", True),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 3}, "one\n***\n\n***\ntwo", False),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "then"},
        "First.\n\nThen, more.",
        True,
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[name] at [place]", True),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "x\nP. P. S more", True),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "x", False),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* one\n* two\n**bold**", True),
    ("detectable_format:constrained_response", {}, "My answer is maybe.", True),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*one* and *two*", True),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "Section", "num_sections": 2},
        "Section 1\nSection 2",
        True,
    ),
    ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', True),
    ("detectable_format:json_format", {}, "{a: 1}", False),
    ("detectable_format:title", {}, "<<Song>>\nla", True),
    ("detectable_format:title", {}, "<< >>\nla", False),
    ("combination:two_responses", {}, "one\n******\ntwo", True),
    ("combination:two_responses", {}, "one\n******\none", False),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say it."}, "Say it. Done.", True),
    ("startend:end_checker", {"end_phrase": "Bye."}, 'So. "bye."', True),
    ("startend:quotation", {}, '"all of it"', True),
    ("change_case:english_capital", {}, "ALL OF THIS IS LOUD", True),
    ("change_case:english_lowercase", {}, "all of this is Quiet", False),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "at least"},
        "ONE and TWO",
        True,
    ),
    ("language:response_language", {"language": "de"}, "Das ist nicht der Weg, den wir mit ihr gehen.", True),
    ("language:response_language", {"language": "de"}, "This is not the way that we go with it.", False),
    ("language:response_language", {"language": "hi"}, "यह एक वाक्य है", True),
]


@pytest.mark.parametrize(("instruction", "kwargs", "text", "kept"), IFEVAL)
def test_constraint_of_ifeval(instruction: str, kwargs: dict[str, Any], text: str, kept: bool) -> None:
    gold = json.dumps({"instruction_id": instruction, "kwargs": kwargs})
    expected = Outcome.CORRECT if kept else Outcome.WRONG
    assert verdict_of({"type": "constraints"}, text, gold).outcome is expected


def test_constraints_loose_forgives_a_first_line_and_fraction_counts() -> None:
    gold = json.dumps(
        {"instruction_id_list": ["startend:quotation", "punctuation:no_comma"], "kwargs": [{}, {}]}
    )
    text = 'Sure, here:\n"all, of it"\nWell, bye.'
    assert verdict_of({"type": "constraints", "mode": "fraction"}, text, gold).score == 0.0
    loose = verdict_of({"preset": "ifeval_loose", "mode": "fraction"}, text, gold)
    assert loose.score == 0.5
    assert loose.subscores == {"startend:quotation": 1.0, "punctuation:no_comma": 0.0}


def test_constraints_unknown_instruction_is_refused_or_ungraded() -> None:
    with pytest.raises(ConfigError, match="no_such"):
        build_grader(parse_config({"type": "constraints", "checks": [{"id": "no_such"}]}))
    gold = json.dumps({"instruction_id": "no_such", "kwargs": {}})
    assert verdict_of({"type": "constraints"}, "x", gold).outcome is Outcome.UNGRADED


@pytest.mark.parametrize(
    ("schema", "text", "outcome", "reason"),
    [
        ({"type": "integer"}, "5", Outcome.CORRECT, "valid"),
        ({"type": "integer"}, '"5"', Outcome.WRONG, "invalid"),
        ({"required": ["a"]}, 'Here:\n```json\n{"a": 1}\n```', Outcome.CORRECT, "valid"),
        ({"type": "integer"}, "five", Outcome.WRONG, "not_json"),
        ({"type": "integer"}, "NaN", Outcome.WRONG, "not_json"),
        ({"type": "integer"}, "[" * 10_000, Outcome.UNGRADED, "too_deep"),
        ({"type": 5}, "5", Outcome.UNGRADED, "invalid_schema"),
        ({"$ref": "http://example.invalid/schema"}, "5", Outcome.UNGRADED, "unresolvable_reference"),
        ({"pattern": "^(a+)+$"}, json.dumps("a" * 40 + "b"), Outcome.UNGRADED, "timeout"),
    ],
)
def test_json_schema(schema: dict[str, Any], text: str, outcome: Outcome, reason: str) -> None:
    verdict = verdict_of({"type": "json_schema", "timeout_s": 1.0}, text, json.dumps(schema))
    assert (verdict.outcome, verdict.reason) == (outcome, reason)


needs_sandbox = pytest.mark.skipif(sandbox.refusal() is not None, reason=str(sandbox.refusal()))
LENGTH = "def grade(sample, item):\n    return min(1.0, len(sample['output_text']) / float(item['answer']))\n"


@needs_sandbox
@pytest.mark.parametrize(
    ("source", "outcome", "score", "reason"),
    [
        (LENGTH, Outcome.WRONG, 0.5, "score_too_low"),
        ("def grade(sample, item): return 1", Outcome.CORRECT, 1.0, "score"),
        ("def grade(sample, item): return 7", Outcome.UNGRADED, 0.0, "score_out_of_range"),
        ("def grade(sample, item): return 1 / 0", Outcome.UNGRADED, 0.0, "scorer_error"),
        ("def grade(sample, item):\n    while True: pass", Outcome.UNGRADED, 0.0, "scorer_timeout"),
        (
            "import socket\ndef grade(sample, item): return socket.create_connection(('1.1.1.1', 53))",
            *[Outcome.UNGRADED, 0.0, "scorer_error"],
        ),
        ("import os\ndef grade(sample, item): os._exit(0)", Outcome.UNGRADED, 0.0, "scorer_ended"),
    ],
)
def test_python_grader_runs_in_the_sandbox(source: str, outcome: Outcome, score: float, reason: str) -> None:
    verdict = verdict_of({"type": "python", "source": source, "timeout_s": 2}, "12345", "10")
    assert (verdict.outcome, verdict.score, verdict.reason) == (outcome, score, reason)


@needs_sandbox
def test_constraint_of_the_users_own_sees_the_problem() -> None:
    source = "def check(response, item):\n    return response.startswith(item['question'])\n"
    data = {
        "type": "constraints",
        "checks": [{"id": "repeats", "source": source}, {"id": "punctuation:no_comma"}],
    }
    assert verdict_of(data, "Why? So.", "", question="Why?").outcome is Outcome.CORRECT
    verdict = verdict_of(data, "So.", "", question="Why?")
    assert (verdict.outcome, verdict.subscores["repeats"]) == (Outcome.WRONG, 0.0)


@pytest.mark.parametrize(
    ("data", "gold", "response"),
    [
        ({"type": "string_check", "operation": "like"}, "", "anything"),
        ({"type": "string_check"}, " ", ""),
        ({"type": "string_check", "normalize": ["punctuation"]}, "?", "!"),
        ({"type": "text_similarity"}, "", ""),
    ],
)
def test_empty_gold_is_ungraded_and_not_equal_to_everything(
    data: dict[str, Any], gold: str, response: str
) -> None:
    verdict = verdict_of(data, response, gold)
    assert (verdict.outcome, verdict.reason) == (Outcome.UNGRADED, "unparseable_gold")


@pytest.mark.parametrize(
    "response",
    [
        "The answer is not (b).",
        "The answer isn't (b).",
        "It is a bank rather than (b)",
        "it cannot be **(b)**",
    ],
)
@pytest.mark.parametrize("choices", [CHOICES, {}])
def test_choice_that_is_denied_is_no_answer(response: str, choices: dict[str, str]) -> None:
    assert extract_answer(parse_config({"type": "choice"}), response, choices) is None


def test_choice_whose_own_text_begins_with_not_is_found() -> None:
    choices = {"a": "not enough", "b": "too much"}
    for response in ("The answer is not enough (a).", "The answer is (a) not enough."):
        assert extract_answer(parse_config({"type": "choice"}), response, choices) == "a"


@pytest.mark.parametrize(
    ("response", "outcome"),
    [
        ("\\boxed{4} or \\boxed{5}", Outcome.WRONG),
        ("The answer is either 4 or 5.", Outcome.WRONG),
        ("The answer is 5 apples, yes, 5.", Outcome.CORRECT),
        ("4 and then 5", Outcome.CORRECT),
    ],
)
def test_numeric_answer_that_names_several_numbers_is_none(response: str, outcome: Outcome) -> None:
    assert verdict_of({"type": "numeric"}, response, "5").outcome is outcome


def test_json_that_is_too_deep_to_read_is_ungraded() -> None:
    verdict = verdict_of({"type": "json_schema", "json_schema": {}}, "[" * 9_000 + "]" * 9_000, "")
    assert (verdict.outcome, verdict.reason) == (Outcome.UNGRADED, "too_deep")


@needs_sandbox
@pytest.mark.parametrize("value", ["float('nan')", "float('inf')", "None", "'yes'"])
def test_check_of_ones_own_that_returns_no_number_is_ungraded(value: str) -> None:
    source = f"def check(response, item):\n    return {value}\n"
    verdict = verdict_of({"type": "constraints", "checks": [{"id": "own", "source": source}]}, "text", "")
    assert (verdict.outcome, verdict.reason) == (Outcome.UNGRADED, "scorer_error")
