"""Which kept text is paired with which wrong one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, TypeVar

from pipeline.export.counts import Counts

Row = Mapping[str, Any]
T = TypeVar("T")


def paired_texts(rows: Iterable[Row], pairs: int, counts: Counts) -> Iterator[dict[str, Any]]:
    """Up to `pairs` pairs of each problem, from the rows of sql/queries/export_preferences.sql.

    What a problem lacks of them is counted in `counts.left_out` by its reason. Only the texts of one problem
    are held at a time.
    """
    for _, group in groupby(rows, key=lambda row: row["problem_id"]):
        texts = list(group)
        kept = [row for row in texts if row["side"] == "kept"]
        wrong = [row for row in texts if row["side"] == "wrong"]
        made = pairs_of(kept, wrong, pairs)
        if len(made) < pairs:
            counts.left_out[_reason(texts[0]["attempted"], kept, wrong)] += pairs - len(made)
        for chosen, rejected in made:
            yield _pair(chosen, rejected)


def pairs_of(first: Sequence[T], second: Sequence[T], most: int) -> list[tuple[T, T]]:
    """`most` different pairs, or all there are, in an order in which the texts of a side are used evenly.

    Every text of the longer side has its turn before one has a second, each time with the next of the other.
    """
    longer = max(len(first), len(second))
    found = []
    for turn in range(min(most, len(first) * len(second))):
        lap, place = divmod(turn, longer)
        other = place + lap
        if len(first) == longer:
            found.append((first[place], second[other % len(second)]))
        else:
            found.append((first[other % len(first)], second[place]))
    return found


def _reason(attempted: bool, kept: Sequence[Row], wrong: Sequence[Row]) -> str:
    if not attempted:
        return "not_attempted"
    if kept and wrong:
        return "too_few_texts"
    if not kept and not wrong:
        return "none_kept_and_none_wrong"
    return "none_wrong" if kept else "none_kept"


def _pair(chosen: Row, rejected: Row) -> dict[str, Any]:
    of_problem = {
        name: chosen[name] for name in ("problem_id", "question", "answer", "choices", "difficulty", "source")
    }
    return {
        **of_problem,
        "prompt": chosen["prompt"],
        "chosen": chosen["text"],
        "chosen_origin": chosen["origin"],
        "chosen_round": chosen["from_round"],
        "chosen_id": chosen["rationale_id"],
        "rejected": rejected["text"],
        "rejected_origin": rejected["origin"],
        "rejected_round": rejected["from_round"],
        "rejected_answer": rejected["verdict_answer"],
        "rejected_id": rejected["rationale_id"],
    }
