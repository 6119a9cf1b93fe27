"""Numbers with their noun, as people are told them."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """`1 row`, `7,473 rows`; the noun is given in the singular."""
    plural = noun if number == 1 else noun + ("es" if noun.endswith(("s", "x")) else "s")
    return f"{number:,} {plural}"
