"""The style sheet, the icon and the one script, with the digest that their addresses change with."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

TYPES = {
    "icon.svg": "image/svg+xml",
    "search.js": "text/javascript; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
}


@cache
def content(name: str) -> bytes:
    """The bytes of a file of TYPES."""
    return (files("pipeline.ui") / "static" / name).read_bytes()


@cache
def version() -> str:
    """A digest over all files."""
    return hashlib.sha256(b"".join(content(name) for name in sorted(TYPES))).hexdigest()[:12]
