"""How long to train and in which order: pure arithmetic."""

from collections import Counter

import pytest

from pipeline.config.experiment import TrainConfig
from pipeline.training import planned_steps
from pipeline.training.plan import micro_batch, rate_schedule, row_order, warmup_steps


def test_planned_steps_paper_schedule_grows_by_a_fifth_each_round():
    config = TrainConfig(schedule="paper", batch_size=8)
    assert [planned_steps(config, 5000, round_).steps for round_ in range(1, 7)] == [40, 48, 58, 69, 83, 100]


def test_planned_steps_steps_schedule_grows_by_its_factor():
    config = TrainConfig(schedule="steps", steps=100, growth=1.5)
    assert [planned_steps(config, 5000, round_).steps for round_ in (1, 2, 3)] == [100, 150, 225]


def test_planned_steps_epochs_schedule_counts_passes_and_says_so():
    plan = planned_steps(TrainConfig(schedule="epochs", epochs=3, batch_size=32), 612, 4)
    assert (plan.steps, plan.capped) == (57, False)
    assert plan.epochs == pytest.approx(57 * 32 / 612)
    assert plan.sentence == "57 steps of 32 rows = 3.0 passes over 612 rows"


def test_planned_steps_few_rows_are_capped_by_max_epochs_and_the_sentence_says_it():
    plan = planned_steps(TrainConfig(schedule="paper", batch_size=32, max_epochs=10), 40, 1)
    assert (plan.steps, plan.capped) == (12, True)
    assert plan.epochs <= 10
    assert "12 steps of 32 rows = 9.6 passes over 40 rows" in plan.sentence
    assert "40 steps by max_epochs 10" in plan.sentence


def test_planned_steps_one_row_still_trains_one_step():
    assert planned_steps(TrainConfig(epochs=0.01, max_epochs=0.01), 1, 1).steps == 1


@pytest.mark.parametrize(("rows", "round_"), [(0, 1), (5, 0)])
def test_planned_steps_nothing_to_train_on_is_refused(rows: int, round_: int):
    with pytest.raises(ValueError, match="at least 1 row"):
        planned_steps(TrainConfig(), rows, round_)


def test_warmup_paper_is_a_hundred_steps_at_most_half_the_run():
    config = TrainConfig(schedule="paper", lr_schedule="cosine")
    assert [warmup_steps(config, steps) for steps in (40, 199, 500)] == [20, 99, 100]
    assert rate_schedule(config) == "constant_with_warmup"


def test_warmup_other_schedules_take_their_ratio():
    assert warmup_steps(TrainConfig(schedule="steps", warmup_ratio=0.25), 40) == 10
    assert [rate_schedule(TrainConfig(lr_schedule=shape)) for shape in ("constant", "linear", "cosine")] == [
        "constant_with_warmup",
        "linear",
        "cosine",
    ]


@pytest.mark.parametrize(("asked", "given"), [(None, 12), (12, 12), (5, 4), (1, 1), (100, 12)])
def test_micro_batch_is_the_largest_divisor_allowed(asked: int | None, given: int):
    assert micro_batch(TrainConfig(batch_size=12, micro_batch_size=asked)) == given


def test_row_order_every_pass_holds_each_row_once():
    lengths = [5, 3, 9, 1, 7, 2, 8, 4, 6, 10]
    order = row_order(lengths, steps=6, batch_size=5, seed=3)
    assert Counter(order) == dict.fromkeys(range(10), 3)
    passes = [sorted(order[start : start + 10]) for start in (0, 10, 20)]
    assert passes == [list(range(10))] * 3
    assert len({tuple(order[start : start + 10]) for start in (0, 10, 20)}) == 3


def test_row_order_batches_stand_by_length_and_only_the_order_within_them_changes():
    lengths = [5, 3, 9, 1, 7, 2, 8, 4, 6, 10]
    sorted_order = row_order(lengths, steps=4, batch_size=5, seed=3)
    free_order = row_order([0] * 10, steps=4, batch_size=5, seed=3)
    for start in range(0, 20, 5):
        batch = sorted_order[start : start + 5]
        assert [lengths[row] for row in batch] == sorted((lengths[row] for row in batch), reverse=True)
        assert sorted(batch) == sorted(free_order[start : start + 5])


def test_row_order_window_puts_like_lengths_into_a_batch_and_shuffles_the_batches():
    lengths = list(range(1, 65))
    orders = [row_order(lengths, steps=16, batch_size=4, seed=seed, window=8) for seed in range(3)]
    for order in orders:
        assert Counter(order) == dict.fromkeys(range(64), 1)
        spreads = [
            max(lengths[row] for row in order[start : start + 4])
            - min(lengths[row] for row in order[start : start + 4])
            for start in range(0, 64, 4)
        ]
        assert sum(spreads) / len(spreads) < 10
        firsts = [lengths[order[start]] for start in range(0, 32, 4)]
        assert firsts != sorted(firsts, reverse=True)
    assert len({tuple(order) for order in orders}) == 3


def test_row_order_window_is_at_most_one_pass_so_that_no_row_fills_a_batch():
    order = row_order([1, 2, 3, 4, 5, 6], steps=12, batch_size=4, seed=0, window=8)
    for start in range(0, 48, 4):
        assert max(Counter(order[start : start + 4]).values()) <= 2


def test_row_order_follows_the_seed_and_fills_batches_from_few_rows():
    assert row_order([1] * 9, steps=3, batch_size=4, seed=1) == row_order(
        [1] * 9, steps=3, batch_size=4, seed=1
    )
    assert row_order([1] * 9, steps=3, batch_size=4, seed=1) != row_order(
        [1] * 9, steps=3, batch_size=4, seed=2
    )
    assert Counter(row_order([1, 1, 1], steps=2, batch_size=6, seed=0)) == {0: 4, 1: 4, 2: 4}
