"""Where a text ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.prompts import cut_text
from pipeline.records import FinishReason

HASHES = r"^####\s*\S"
CASES: dict[str, tuple[str, FinishReason, tuple[str, ...], str | None, str, FinishReason]] = {
    "nothing to cut": (
        " 1 + 1 = 2.\n#### 2",
        FinishReason.EOS,
        ("\nQ:",),
        HASHES,
        "1 + 1 = 2.\n#### 2",
        FinishReason.EOS,
    ),
    "stop string": ("It is 2.\nQ: next", FinishReason.LENGTH, ("\nQ:",), None, "It is 2.", FinishReason.STOP),
    "earliest of several stops": (
        "a STOP b END c",
        FinishReason.EOS,
        ("END", "STOP"),
        None,
        "a",
        FinishReason.STOP,
    ),
    "answer line with more behind": (
        "#### 2\nBut also",
        FinishReason.EOS,
        (),
        HASHES,
        "#### 2",
        FinishReason.ANSWER,
    ),
    "answer line although cut off later": (
        "#### 72\n\nQ: Tom h",
        FinishReason.LENGTH,
        (),
        HASHES,
        "#### 72",
        FinishReason.ANSWER,
    ),
    "number that may go on": ("x\n#### 7", FinishReason.LENGTH, (), HASHES, "x\n#### 7", FinishReason.LENGTH),
    "number that a line break ends": (
        "x\n#### 7\n",
        FinishReason.LENGTH,
        (),
        HASHES,
        "x\n#### 7",
        FinishReason.ANSWER,
    ),
    "number that a stop ends": (
        "x\n#### 7 END",
        FinishReason.LENGTH,
        ("END",),
        HASHES,
        "x\n#### 7",
        FinishReason.STOP,
    ),
    "first of two answer lines": (
        "#### 1\n#### 2\n",
        FinishReason.EOS,
        (),
        HASHES,
        "#### 1",
        FinishReason.ANSWER,
    ),
    "stop before the answer line": (
        "x END\n#### 2\n",
        FinishReason.EOS,
        ("END",),
        HASHES,
        "x",
        FinishReason.STOP,
    ),
    "answer line before the stop": (
        "#### 2\nmore END",
        FinishReason.STOP,
        ("END",),
        HASHES,
        "#### 2",
        FinishReason.ANSWER,
    ),
    "pattern inside a line": (
        "So the answer is cat (c).\nQ: x",
        FinishReason.LENGTH,
        (),
        r"answer is .*\([a-e]\)",
        "So the answer is cat (c).",
        FinishReason.ANSWER,
    ),
    "carriage returns": (
        "#### 2\r\nmore",
        FinishReason.EOS,
        (),
        r"^#### \d+$",
        "#### 2",
        FinishReason.ANSWER,
    ),
    "empty text": ("", FinishReason.EOS, ("\n",), HASHES, "", FinishReason.EOS),
    "nothing was generated": ("", FinishReason.PROMPT_TOO_LONG, (), HASHES, "", FinishReason.PROMPT_TOO_LONG),
    "empty stop string is none": ("abc", FinishReason.EOS, ("",), None, "abc", FinishReason.EOS),
}


@pytest.mark.parametrize(
    ("text", "finish", "stop", "line", "cut", "reason"), CASES.values(), ids=CASES.keys()
)
def test_cut_text_case_ends_as_documented(
    text: str, finish: FinishReason, stop: tuple[str, ...], line: str | None, cut: str, reason: FinishReason
) -> None:
    assert cut_text(text, finish, stop, line) == (cut, reason)


texts = st.text(alphabet="aQ:#1 \n\r", max_size=60)
stops = st.lists(st.text(alphabet="aQ:\n ", max_size=3), max_size=3)
lines = st.sampled_from([None, "^#", r"^####\s*\S", "1$", r"\s1", "a|Q"])
finishes = st.sampled_from(FinishReason)


@given(texts, finishes, stops, lines)
def test_cut_text_twice_changes_nothing(
    text: str, finish: FinishReason, stop: list[str], line: str | None
) -> None:
    once = cut_text(text, finish, stop, line)
    assert cut_text(*once, stop, line) == once


@given(texts, finishes, stops, lines)
def test_cut_text_is_a_stripped_part_without_any_stop(
    text: str, finish: FinishReason, stop: list[str], line: str | None
) -> None:
    cut, _ = cut_text(text, finish, stop, line)
    assert cut in text and cut == cut.strip()
    assert not any(mark in cut for mark in stop if mark)


@given(texts, stops, lines)
def test_cut_text_that_went_on_after_the_limit_is_never_called_complete(
    text: str, stop: list[str], line: str | None
) -> None:
    cut, reason = cut_text(text, FinishReason.LENGTH, stop, line)
    if reason is FinishReason.LENGTH:
        assert cut == text.strip()
    else:
        assert len(cut) < len(text)


def test_cut_text_pattern_that_does_not_compile_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"prompts\.answer_line '\(' is not a regular expression"):
        cut_text("x", FinishReason.EOS, (), "(")
