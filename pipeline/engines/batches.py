"""Fixed batches: the same requests always meet the same neighbours, so that results repeat bit by bit."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from pipeline.records import Request


def fixed_batches(
    requests: Sequence[Request], lengths: Sequence[int], batch_size: int
) -> list[tuple[Request, ...]]:
    """Batches of up to `batch_size` requests, a function of the set of requests and not of their order.

    `lengths` are the requests' prompt lengths in tokens. Prompts of one length go together where they fill
    half a batch, and need no padding; the others share batches with their neighbours in length. Samples of
    one prompt lie side by side: their prompt is computed once.
    """
    order = sorted(
        range(len(requests)), key=lambda i: (lengths[i], requests[i].prompt, requests[i].request_id)
    )
    batches: list[tuple[Request, ...]] = []
    pending: list[Request] = []
    for _, run in groupby(order, key=lambda i: lengths[i]):
        same = [requests[i] for i in run]
        if 2 * len(same) < batch_size:
            pending += same
            continue
        batches += _cut(pending, batch_size)
        pending = []
        batches += _cut(same, batch_size)
    return batches + _cut(pending, batch_size)


def _cut(requests: Sequence[Request], batch_size: int) -> list[tuple[Request, ...]]:
    """Consecutive batches of nearly equal size."""
    count = -(-len(requests) // batch_size)
    bounds = [len(requests) * i // count for i in range(count + 1)] if count else []
    return [tuple(requests[start:end]) for start, end in zip(bounds, bounds[1:], strict=False)]
