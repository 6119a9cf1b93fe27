"""Drawing: right distribution, right cut-offs, a stream of its own for every request."""

import math

import pytest
import torch

from pipeline.engines.sampler import Sampler
from pipeline.records import Sampling

PROBABILITIES = [0.4, 0.3, 0.15, 0.1, 0.05, 0.0]


def draws(sampling: Sampling, count: int = 4000, seed: int = 0) -> list[float]:
    """Share of each of the six tokens in `count` rows of one step."""
    logits = torch.tensor(PROBABILITIES).log().expand(count, -1)
    sampler = Sampler(sampling, [seed + i for i in range(count)], 1, torch.device("cpu"))
    tokens, _ = sampler.pick(logits, torch.arange(count), 0)
    return (torch.bincount(tokens, minlength=6) / count).tolist()


def test_sampler_draws_from_the_models_distribution() -> None:
    assert draws(Sampling(1)) == pytest.approx(PROBABILITIES, abs=0.03)


def test_sampler_temperature_sharpens_and_flattens() -> None:
    powers = [p**2 for p in PROBABILITIES]
    assert draws(Sampling(1, temperature=0.5)) == pytest.approx([p / sum(powers) for p in powers], abs=0.03)
    roots = [p**0.5 for p in PROBABILITIES]
    assert draws(Sampling(1, temperature=2.0)) == pytest.approx([p / sum(roots) for p in roots], abs=0.03)


def test_sampler_top_k_keeps_the_k_most_likely() -> None:
    assert draws(Sampling(1, top_k=2)) == pytest.approx([4 / 7, 3 / 7, 0, 0, 0, 0], abs=0.03)


def test_sampler_top_p_keeps_the_smallest_set_reaching_p() -> None:
    assert draws(Sampling(1, top_p=0.6)) == pytest.approx([4 / 7, 3 / 7, 0, 0, 0, 0], abs=0.03)
    assert draws(Sampling(1, top_p=0.01)) == [1, 0, 0, 0, 0, 0]


def test_sampler_top_k_and_top_p_cut_one_after_the_other() -> None:
    # Of the three kept, .4/.85 alone is 0.47: top-p 0.45 leaves the first only.
    assert draws(Sampling(1, top_k=3, top_p=0.45)) == [1, 0, 0, 0, 0, 0]


def test_sampler_greedy_takes_the_most_likely_and_tells_its_log_probability() -> None:
    sampler = Sampler(Sampling(1, temperature=0), [1, 2], 1, torch.device("cpu"))
    tokens, logprobs = sampler.pick(torch.tensor([[0.0, 1.0], [3.0, 1.0]]), torch.arange(2), 0)
    assert tokens.tolist() == [1, 0]
    expected = [-math.log1p(math.exp(-1)), -math.log1p(math.exp(-2))]
    assert logprobs.tolist() == pytest.approx(expected, rel=1e-5)


def test_sampler_log_probabilities_are_of_the_untempered_uncut_model() -> None:
    logits = torch.tensor(PROBABILITIES).log().expand(50, -1)
    sampler = Sampler(Sampling(1, temperature=0.3, top_k=2), list(range(50)), 1, torch.device("cpu"))
    tokens, logprobs = sampler.pick(logits, torch.arange(50), 0)
    expected = [math.log(PROBABILITIES[token]) for token in tokens.tolist()]
    assert logprobs.tolist() == pytest.approx(expected, rel=1e-5)


def test_sampler_rows_depend_on_their_seed_and_not_on_their_neighbours() -> None:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn((5, 3, 40), generator=generator)
    seeds = [2**62 + 11, 5, 6]
    together = Sampler(Sampling(5), seeds, 5, torch.device("cpu"))
    rows = [together.pick(logits[step], torch.arange(3), step)[0].tolist() for step in range(5)]
    for row, seed in enumerate(seeds):
        alone = Sampler(Sampling(5), [seed], 5, torch.device("cpu"))
        for step in range(5):
            token, _ = alone.pick(logits[step, row : row + 1], torch.arange(1), step)
            assert token.item() == rows[step][row]
