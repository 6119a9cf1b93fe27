"""Prompts as text, plain and chat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.experiment import PromptsConfig
from pipeline.errors import ConfigError
from pipeline.prompts import PromptBook
from pipeline.records import Exemplar, Message, Problem, PromptStyle, Split

SUM = Problem("sum", Split.TRAIN, "What is 30 + 42?", "72")
INK = Problem(
    "ink",
    Split.TRAIN,
    "What takes up ink?",
    "e",
    {"a": "shirt", "b": "hand", "c": "well", "d": "desk", "e": "blotter"},
)
TWO = Exemplar("What is 1 + 1?", "1 + 1 = 2.\n#### 2", "2")
SKY = Exemplar("What is blue?", "Therefore, the answer is sky (b).", "b", {"a": "grass", "b": "sky"})
PAPER: dict[str, Any] = {
    "question": "Q: {question}\nAnswer Choices:\n{choices}\nA:",
    "hinted_question": "Q: {question}\nAnswer Choices:\n{choices}\nA:",
}


def _book(
    exemplars: Sequence[Exemplar] = (), hinted: Sequence[Exemplar] | None = None, **config: Any
) -> PromptBook:
    return PromptBook(PromptsConfig(**config), exemplars, exemplars if hinted is None else hinted, None)


def _render(messages: list[Message]) -> str:
    """Like a chat template: roles marked, contents trimmed, the generation prompt last."""
    turns = [f"<{message.role}>{message.content.strip()}</{message.role}>" for message in messages]
    return "".join(turns) + "<assistant>"


def test_canonical_prompt_is_zero_shot_without_hint() -> None:
    prompt = _book([TWO]).canonical(SUM)
    assert (prompt.text, prompt.style, prompt.hint) == (
        "Q: What is 30 + 42?\nA:",
        PromptStyle.ZERO_SHOT,
        None,
    )


def test_generation_prompt_shows_exemplars_before_the_question() -> None:
    book = _book([TWO])
    prompt = book.generation(SUM, few_shot=True)
    assert prompt.text == "Q: What is 1 + 1?\nA: 1 + 1 = 2.\n#### 2\n\nQ: What is 30 + 42?\nA:"
    assert prompt.style is PromptStyle.FEW_SHOT
    assert book.generation(SUM, few_shot=False) == book.canonical(SUM)
    assert _book().generation(SUM, few_shot=True).style is PromptStyle.ZERO_SHOT


def test_generation_prompts_share_their_first_part_byte_for_byte() -> None:
    book = _book([TWO, TWO])
    other = Problem("other", Split.TRAIN, "Why?", "1")
    first, second = book.generation(SUM, True).text, book.generation(other, True).text
    assert (
        first.removesuffix(book.canonical(SUM).text) == second.removesuffix(book.canonical(other).text) != ""
    )


def test_hinted_prompt_shows_the_gold_answer_and_names_what_gives_it_away() -> None:
    prompt = _book([TWO]).hinted(SUM, few_shot=True)
    assert prompt.text == "Q: What is 1 + 1? (2)\nA: 1 + 1 = 2.\n#### 2\n\nQ: What is 30 + 42? (72)\nA:"
    assert (prompt.style, prompt.hint) == (PromptStyle.HINTED, " (72)")
    assert _book([TWO]).hinted(SUM, few_shot=False).text == "Q: What is 30 + 42? (72)\nA:"


def test_hinted_prompt_never_shows_the_gold_solution() -> None:
    problem = Problem("p", Split.TRAIN, "What is 30 + 42?", "72", solution="Add the tens first: 70.")
    book = _book([TWO])
    prompts = [book.canonical(problem), book.generation(problem, True), book.hinted(problem, True)]
    assert not any("tens" in prompt.text for prompt in prompts)


@pytest.mark.parametrize(
    ("template", "hint"),
    [
        ("Q: {question} ({hint})\nA:", " (72)"),
        ("Q: {question} Hint: {hint}\nA:", " Hint: 72"),
        ("Q: {question}\nHint: {hint}\nA:", "Hint: 72"),
        ("Problem: {question}\nThe answer is {hint}.\nExplain:", "The answer is 72."),
        ("{hint} = {question}", "72 = "),
    ],
)
def test_hinted_prompt_hint_is_what_the_template_puts_around_it(template: str, hint: str) -> None:
    prompt = _book(hinted_question=template).hinted(SUM, few_shot=False)
    assert prompt.hint == hint
    assert prompt.text.count(hint) == 1


def test_prompts_of_multiple_choice_follow_the_paper() -> None:
    book = _book([SKY], **PAPER)
    lines = "(a) shirt\n(b) hand\n(c) well\n(d) desk\n"
    assert book.canonical(INK).text == f"Q: What takes up ink?\nAnswer Choices:\n{lines}(e) blotter\nA:"
    hinted = book.hinted(INK, few_shot=True)
    assert hinted.text == (
        "Q: What is blue?\nAnswer Choices:\n(a) grass\n(b) sky (CORRECT)\n"
        "A: Therefore, the answer is sky (b).\n\n"
        f"Q: What takes up ink?\nAnswer Choices:\n{lines}(e) blotter (CORRECT)\nA:"
    )
    assert hinted.hint == "(e) blotter (CORRECT)"
    assert "(CORRECT)" not in book.generation(INK, few_shot=True).text


def test_hinted_prompt_of_multiple_choice_may_show_the_right_line_as_hint() -> None:
    template = "Q: {question}\n{choices}\nIt is {hint}.\nA:"
    prompt = _book(hinted_question=template, hinted_choice="({key}) {text}").hinted(INK, few_shot=False)
    assert prompt.text.endswith("(e) blotter\nIt is (e) blotter.\nA:")
    assert prompt.hint == "It is (e) blotter."


def test_hinted_prompt_that_shows_no_hint_is_refused() -> None:
    with pytest.raises(ConfigError, match="shows no hint"):
        _book(**PAPER).hinted(SUM, few_shot=False)
    with pytest.raises(ConfigError, match="shows no hint"):
        _book(**PAPER, hinted_choice="({key}) {text}").hinted(INK, few_shot=False)


def test_evaluation_prompt_has_the_style_asked_for() -> None:
    book = _book([TWO])
    assert book.evaluation(SUM, PromptStyle.ZERO_SHOT) == book.canonical(SUM)
    assert book.evaluation(SUM, PromptStyle.FEW_SHOT) == book.generation(SUM, few_shot=True)
    with pytest.raises(ConfigError, match="no exemplars"):
        _book().evaluation(SUM, PromptStyle.FEW_SHOT)
    with pytest.raises(ConfigError, match="a hint shows the answer"):
        book.evaluation(SUM, PromptStyle.HINTED)


def test_completion_stands_after_the_prompt_as_in_the_exemplars() -> None:
    book = _book([TWO])
    shown = book.generation(SUM, few_shot=True).text
    trained = book.canonical(Problem("two", Split.TRAIN, TWO.question, "2")).text + book.completion(
        TWO.rationale
    )
    assert shown.startswith(trained + "\n\n")


def test_chat_prompts_make_turns_of_exemplars() -> None:
    config = PromptsConfig(
        chat=True, system="Think.", question="{question}", hinted_question="{question} ({hint})"
    )
    book = PromptBook(config, [TWO], [TWO], _render)
    assert book.canonical(SUM).text == "<system>Think.</system><user>What is 30 + 42?</user><assistant>"
    assert book.generation(SUM, few_shot=True).text == (
        "<system>Think.</system><user>What is 1 + 1?</user><assistant>1 + 1 = 2.\n#### 2</assistant>"
        "<user>What is 30 + 42?</user><assistant>"
    )
    hinted = book.hinted(SUM, few_shot=False)
    assert hinted.text == "<system>Think.</system><user>What is 30 + 42? (72)</user><assistant>"
    assert hinted.hint is not None and hinted.hint in hinted.text
    assert book.completion("So 72.") == "So 72."


def test_chat_hint_at_the_edge_of_a_trimmed_message_is_still_found() -> None:
    config = PromptsConfig(chat=True, question="{question}", hinted_question="{question}\n{hint}\n")
    prompt = PromptBook(config, [], [], _render).hinted(SUM, few_shot=False)
    assert prompt.hint == "72" and prompt.hint in prompt.text


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"question": "Q: {qestion}"},
            r"prompts\.question: unknown placeholder \{qestion\}.+\{choices\}, \{question\}",
        ),
        ({"question": "Q: {question} {hint}"}, r"prompts\.question: unknown placeholder \{hint\}"),
        ({"choice": "{key}. {question}"}, r"prompts\.choice: unknown placeholder \{question\}"),
        ({"hinted_choice": "{answer}"}, r"prompts\.hinted_choice: unknown placeholder \{answer\}"),
        ({"question": "Q:"}, r"expected it to contain \{question\}"),
        ({"hinted_question": "{hint}"}, r"expected it to contain \{question\}"),
        ({"answer_line": "["}, r"answer_line '\[' is not a regular expression"),
        ({"system": "Think."}, r"a plain prompt has no system message"),
        ({"chat": True}, r"prompts\.chat is True, but a chat renderer was not given"),
    ],
)
def test_book_of_wrong_templates_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _book(**config)


def test_template_braces_that_are_no_placeholder_are_plain_text() -> None:
    book = _book(question=r"{question} Answer in \boxed{} or {1, 2}, not {{answer}}.")
    assert book.canonical(SUM).text == r"What is 30 + 42? Answer in \boxed{} or {1, 2}, not {answer}."


pieces = st.lists(
    st.sampled_from(
        ["{question}", "{choices}", "{hint}", "{key}", "{{hint}}", "{0}", "\\1", "\\g<1>", "%s", "x"]
    )
)


@given(pieces.map("".join).filter(bool), pieces.map("".join).filter(bool), pieces.map("".join).filter(bool))
def test_prompts_keep_braces_of_values_literal(question: str, answer: str, text: str) -> None:
    problem = Problem("p", Split.TRAIN, question, answer)
    assert _book().canonical(problem).text == f"Q: {question}\nA:"
    assert _book().hinted(problem, few_shot=False).text == f"Q: {question} ({answer})\nA:"
    choice = Problem("p", Split.TRAIN, question, "a", {"a": text, "b": answer})
    lines = f"(a) {text} (CORRECT)\n(b) {answer}"
    assert (
        _book(**PAPER).hinted(choice, few_shot=False).text == f"Q: {question}\nAnswer Choices:\n{lines}\nA:"
    )
