"""Fixed batches: nothing lost, the same whatever the order, little padding."""

import random

from hypothesis import given
from hypothesis import strategies as st

from pipeline.engines.batches import fixed_batches
from pipeline.records import Request


def made(lengths: list[int]) -> list[Request]:
    return [Request(f"r{i:03}", f"prompt {i // 3}", i) for i in range(len(lengths))]


@given(st.lists(st.integers(1, 12), max_size=80), st.integers(1, 17), st.randoms(use_true_random=False))
def test_fixed_batches_partition_and_ignore_the_order_given(
    lengths: list[int], size: int, shuffle: random.Random
) -> None:
    requests = made(lengths)
    batches = fixed_batches(requests, lengths, size)
    assert sorted(r.request_id for batch in batches for r in batch) == [r.request_id for r in requests]
    assert all(1 <= len(batch) <= size for batch in batches)
    order = list(range(len(requests)))
    shuffle.shuffle(order)
    assert fixed_batches([requests[i] for i in order], [lengths[i] for i in order], size) == batches


def test_fixed_batches_of_long_runs_hold_one_length_each() -> None:
    lengths = [5] * 40 + [7] * 33 + [9] * 8
    requests = made(lengths)
    length = dict(zip((r.request_id for r in requests), lengths, strict=True))
    batches = fixed_batches(requests, lengths, 16)
    assert all(len({length[r.request_id] for r in batch}) == 1 for batch in batches)
    assert sorted(map(len, batches)) == [8, 11, 11, 11, 13, 13, 14]


def test_fixed_batches_of_short_runs_share_batches_by_length() -> None:
    lengths = list(range(1, 41))
    batches = fixed_batches(made(lengths), lengths, 16)
    assert [len(batch) for batch in batches] == [13, 13, 14]
    assert [r.request_id for r in batches[0]] == [f"r{i:03}" for i in range(13)]


def test_fixed_batches_keep_samples_of_one_prompt_together() -> None:
    requests = [Request(f"r{(7 * i) % 20:02}", f"prompt {i % 5}", i) for i in range(20)]
    (batch,) = fixed_batches(requests, [4] * 20, 32)
    prompts = [request.prompt for request in batch]
    assert prompts == sorted(prompts)
