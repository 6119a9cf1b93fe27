"""Others' text, as a terminal or a log may show it: a model's is hostile, a library's may hold a password."""

from __future__ import annotations

import re

_SEQUENCES = re.compile(
    r"\x1b\][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # operating system commands (titles, links, clipboard)
    r"|\x1b[PX^_][^\x1b\x9c]*(?:\x1b\\|\x9c)?"  # device control and other strings
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # colours, cursor
    r"|\x1b[ -/]*[0-~]?"  # the rest
)
# C0 but tab and line feed, DEL, C1, and marks that reorder or hide text.
_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]"
)

_PASSWORD = re.compile(r"//[^/\s]+@")


def clean(text: str) -> str:
    """`text` without what could move the cursor, colour, retitle, reorder or hide: model text is hostile."""
    return _CONTROLS.sub("", _SEQUENCES.sub("", text.replace("\r\n", "\n")))


def without_passwords(text: str) -> str:
    """`text` with user and password of its URLs masked: libraries repeat the address they were given."""
    return _PASSWORD.sub("//...@", text)
