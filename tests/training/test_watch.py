"""When a training is stopped for diverging: plain arithmetic on its losses."""

from typing import Any

import pytest

from pipeline.config.experiment import TrainConfig
from pipeline.errors import DivergedError
from pipeline.training.watch import Watch


def watched(losses: list[float], **config: Any) -> Watch:
    """A watch over a training of so many steps of one row, which has seen these losses."""
    settings = TrainConfig.model_validate({"batch_size": 1, **config})
    watch = Watch(settings, len(losses), [7] * len(losses), lambda _event, **_fields: None)
    for loss in losses:
        watch.forward(loss)
    return watch


def test_watch_loss_that_falls_or_swings_is_let_be():
    assert watched([3 - step / 50 for step in range(100)]).step == 100
    assert watched([2.0] * 10 + [9.0, 1.0] * 45).step == 100


def test_watch_loss_above_its_start_for_a_fifth_of_the_steps_is_divergence():
    with pytest.raises(DivergedError, match=r"loss of step 70 is 3\.100: for 20 steps .* above 2\.000"):
        watched([2.0] * 50 + [3.1] * 50)
    assert watched([2.0] * 50 + [2.9] * 50).step == 100


def test_watch_short_training_needs_five_steps_in_a_row():
    with pytest.raises(DivergedError, match=r"loss of step 6 is 9\.000: for 5 steps"):
        watched([2.0, 9.0, 9.0, 9.0, 9.0, 9.0])


def test_watch_rise_is_allowed_where_the_config_says_so():
    assert watched([2.0] * 50 + [30.0] * 50, max_loss_rise=None).step == 100
    assert watched([2.0] * 50 + [6.0] * 50, max_loss_rise=5.0).step == 100


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_watch_gradient_norm_that_is_not_finite_names_step_and_loss(bad: float):
    watch = watched([2.0, 1.5])
    with pytest.raises(DivergedError, match=r"gradient norm of step 2 is (nan|inf), its loss 1\.500"):
        watch.gradient(bad)
