"""Model text is hostile: nothing of it may drive the terminal."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli.terminal import clean

ESCAPES = st.sampled_from(
    ["\x1b[", "\x1b]", "\x1bP", "\x9b", "\x07", "\x1b\\", "\r", "\b", "\u202e", "31m", "0;x"]
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;new title\x07after", "after"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;c2VjcmV0\x07", ""),
        ("\x1b[2J\x1b[Hgone", "gone"),
        ("\x9b31mred", "red"),
        ("\x1bcreset", "reset"),
        ("one\rtwo", "onetwo"),
        ("wrong\b\b\b\b\bright", "wrongright"),
        ("a\u202egnp.exe", "agnp.exe"),
        ("zero\u200bwidth", "zerowidth"),
        ("line\r\nline\n\tindented", "line\nline\n\tindented"),
        ("grüße, 你好, naïve", "grüße, 你好, naïve"),
    ],
)
def test_clean_text_keeps_what_is_read_and_drops_what_is_obeyed(text: str, shown: str) -> None:
    assert clean(text) == shown


@given(st.lists(st.one_of(ESCAPES, st.text(max_size=8))).map("".join))
def test_clean_text_has_no_control_or_reordering_character_left(text: str) -> None:
    cleaned = clean(text)
    for character in cleaned:
        if character not in "\n\t":
            assert unicodedata.category(character) != "Cc"
            assert (
                not unicodedata.bidirectional(character).endswith(("E", "O", "I", "F"))
                or character.isprintable()
            )
    assert clean(cleaned) == cleaned
