"""Drawing tokens: every request has random numbers of its own, so a sample does not depend on its batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.records import Sampling

if TYPE_CHECKING:
    import torch


class Sampler:
    """Draws one token per row by inverting the cumulative distribution at the row's own uniform number.

    The numbers of all steps are drawn up front from Philox keyed by the request's seed: sample 3 of a
    problem is the same whether it is asked alone or with others (but for float noise in the logits).
    """

    def __init__(self, sampling: Sampling, seeds: Sequence[int], steps: int, device: torch.device) -> None:
        import torch

        self._sampling = sampling
        self._uniform: torch.Tensor | None = None
        if sampling.temperature > 0:
            self._uniform = torch.from_numpy(_uniforms(seeds, steps)).to(device)

    def pick(self, logits: torch.Tensor, rows: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens (n,) and their log-probabilities (n,) under the untempered model.

        `logits` is (n, vocabulary); `rows` (n,) says which request each row belongs to.
        """
        scores = logits.float()
        if self._uniform is None:
            tokens = scores.argmax(-1)
        else:
            tokens = self._draw(scores / self._sampling.temperature, self._uniform[rows, step])
        chosen = scores.gather(-1, tokens[:, None])[:, 0]
        return tokens, chosen - scores.logsumexp(-1)

    def _draw(self, scores: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
        """Inverse-CDF draw from softmax(scores) cut by top-k, then by top-p (the smallest set reaching p)."""
        order = None
        top_k, top_p = self._sampling.top_k, self._sampling.top_p
        if 0 < top_k < scores.shape[-1]:
            scores, order = scores.topk(top_k, dim=-1)
        elif top_p < 1:
            scores, order = scores.sort(dim=-1, descending=True)
        weights = (scores - scores.amax(-1, keepdim=True)).double().exp()
        if top_p < 1:
            before = weights.cumsum(-1) - weights
            weights = weights * (before < top_p * weights.sum(-1, keepdim=True))
        index = _invert(weights.cumsum(-1), uniform)
        return index if order is None else order.gather(-1, index[:, None])[:, 0]


def _invert(cumulative: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """First index whose cumulative weight exceeds uniform * total; never one of weight zero."""
    import torch

    total = cumulative[:, -1]
    below = torch.nextafter(total, torch.zeros_like(total))
    target = torch.minimum(uniform * total, below)
    return torch.searchsorted(cumulative, target[:, None], right=True)[:, 0]


def _uniforms(seeds: Sequence[int], steps: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    drawn = np.empty((len(seeds), steps), dtype=np.float64)
    for row, seed in enumerate(seeds):
        np.random.Generator(np.random.Philox(key=seed)).random(out=drawn[row])
    return drawn
