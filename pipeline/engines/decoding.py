"""Writing one batch: prefill, then a token a row a step; rows that have ended are dropped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any

from pipeline.engines.attention import is_sdpa
from pipeline.engines.kv_cache import new_cache
from pipeline.engines.sampler import Sampler
from pipeline.engines.stops import StopScan
from pipeline.records import FinishReason

if TYPE_CHECKING:
    import torch

# A shared prefix shorter than this is not worth a forward pass of its own.
SHARED_PREFIX = 32
# Rows that have ended are dropped once at most this share is still running: dropping copies the cache.
DROP_AT = 0.85


@dataclass(frozen=True, slots=True)
class Written:
    """Token ids drawn for one row (the end token included), why it ended, the mean log-probability of its
    tokens under the untempered model."""

    ids: list[int]
    finish_reason: FinishReason
    mean_logprob: float


class _Batch:
    """The model's state for the rows still in the batch: cache, mask and positions."""

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]], room: int) -> None:
        self._model = model
        self._device = model.device
        self._cache, self._plain = new_cache(model.config)
        # A model that is not told positions counts them, or ALiBi's distances, from a mask of two dimensions.
        self._told_positions = "position_ids" in signature(model.forward).parameters
        self._own_mask = self._plain and is_sdpa(model) and self._told_positions
        self._room = room
        self._mask: torch.Tensor | None = None  # (rows, positions) True where a token is; None: everywhere
        self._positions: torch.Tensor | None = None  # (rows, 1) of the next token; None: the cache's length
        self._length = 0
        self.logits = self._prefill(prompts)

    def step(self, tokens: torch.Tensor) -> None:
        """Feed one token (rows,) to every row; `logits` (rows, vocabulary) are then those of the next."""
        if self._positions is None:
            self.logits = self._forward(tokens[:, None], None, None)
            return
        self.logits = self._forward(tokens[:, None], self._step_mask(), self._positions)
        self._positions = self._positions + 1

    def keep(self, rows: torch.Tensor) -> None:
        """Keep only these rows (indices into the present ones; one may be named more than once)."""
        self._cache.reorder_cache(rows)
        if self._mask is not None and self._positions is not None:
            self._mask = self._mask[rows]
            self._positions = self._positions[rows]

    def _prefill(self, prompts: Sequence[Sequence[int]]) -> torch.Tensor:
        """Each distinct prompt once, and what all of them begin with only once."""
        import torch

        index: dict[tuple[int, ...], int] = {}
        rows = [index.setdefault(tuple(prompt), len(index)) for prompt in prompts]
        distinct = list(index)
        shared = self._shared_prefix(distinct)
        if shared:
            self._forward(torch.tensor([distinct[0][:shared]], device=self._device), None, None)
            self._cache.reorder_cache(torch.zeros(len(distinct), dtype=torch.long, device=self._device))
        logits = self._prefill_rest([prompt[shared:] for prompt in distinct], shared)
        if len(distinct) == len(prompts):
            return logits
        expand = torch.tensor(rows, device=self._device)
        self.keep(expand)
        return logits[expand]

    def _shared_prefix(self, prompts: Sequence[tuple[int, ...]]) -> int:
        if len(prompts) < 2 or not self._own_mask:
            return 0
        shortest, first, last = min(map(len, prompts)), min(prompts), max(prompts)
        shared = next((i for i in range(shortest - 1) if first[i] != last[i]), shortest - 1)
        return shared if shared >= SHARED_PREFIX else 0

    def _prefill_rest(self, rests: Sequence[tuple[int, ...]], shared: int) -> torch.Tensor:
        """What follows the shared prefix, padded on the left where lengths differ."""
        import torch

        lengths = [len(rest) for rest in rests]
        width = max(lengths)
        ids = torch.tensor([[0] * (width - len(rest)) + list(rest) for rest in rests], device=self._device)
        if min(lengths) == width:
            if not shared:
                return self._forward(ids, None, None)
            positions = torch.arange(shared, shared + width, device=self._device)[None]
            return self._forward(ids, self._causal(None, width), positions.expand(len(rests), -1))
        filled = torch.arange(width) >= width - torch.tensor(lengths)[:, None]
        positions = shared + (filled.long().cumsum(-1) - 1).clamp(min=0).to(self._device)
        self._mask = torch.ones(
            (len(rests), shared + width + self._room), dtype=torch.bool, device=self._device
        )
        self._mask[:, shared : shared + width] = filled.to(self._device)
        self._positions = positions[:, -1:] + 1
        mask = self._causal(self._mask, width) if self._own_mask else self._mask[:, : shared + width]
        return self._forward(ids, mask, positions)

    def _causal(self, filled: torch.Tensor | None, width: int) -> torch.Tensor:
        """(rows or 1, 1, width, shared + width): each query sees what is filled up to itself, and itself
        (a padding query that saw nothing would give NaN)."""
        import torch

        total = self._length + width
        query = torch.arange(self._length, total, device=self._device)[:, None]
        key = torch.arange(total, device=self._device)[None, :]
        causal = key <= query
        if filled is None:
            return causal[None, None]
        return ((causal[None] & filled[:, None, :total]) | (key == query)[None])[:, None]

    def _step_mask(self) -> torch.Tensor:
        assert self._mask is not None
        seen = self._mask[:, : self._length + 1]
        return seen[:, None, None, :] if self._own_mask else seen

    def _forward(
        self, ids: torch.Tensor, mask: torch.Tensor | None, positions: torch.Tensor | None
    ) -> torch.Tensor:
        further = {"position_ids": positions} if self._told_positions else {}
        output = self._model(
            input_ids=ids,
            attention_mask=mask,
            **further,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self._length += ids.shape[1]
        logits: torch.Tensor = output.logits[:, -1]
        return logits


class _Record:
    """What has been written so far, row by row of the whole batch."""

    def __init__(self, rows: int, steps: int, device: torch.device) -> None:
        import torch

        self.ids = torch.zeros((rows, steps), dtype=torch.long, device=device)
        self.logprob = torch.zeros(rows, dtype=torch.float64, device=device)
        self.length = torch.zeros(rows, dtype=torch.long, device=device)
        self.reason = torch.zeros(rows, dtype=torch.long, device=device)

    def written(self) -> list[Written]:
        reasons = (FinishReason.LENGTH, FinishReason.EOS, FinishReason.STOP)
        means = (self.logprob / self.length).tolist()
        lengths, ids = self.length.tolist(), self.ids.tolist()
        return [
            Written(ids[row][: lengths[row]], reasons[reason], means[row])
            for row, reason in enumerate(self.reason.tolist())
        ]


def write_batch(
    model: Any,
    prompts: Sequence[Sequence[int]],
    limits: Sequence[int],
    make_sampler: Callable[[int], Sampler],
    stop_ids: frozenset[int],
    scan: StopScan | None,
) -> list[Written]:
    """Continue every prompt until one of `stop_ids`, a stop string of `scan`, or its limit (tokens, >= 1).

    `make_sampler` is given the number of steps. Rows come back in the order of `prompts`.
    """
    import torch

    steps = max(limits)
    batch = _Batch(model, prompts, steps)
    device = batch.logits.device
    sampler = make_sampler(steps)
    record = _Record(len(prompts), steps, device)
    limit = torch.tensor(limits, device=device)
    ends = torch.zeros(batch.logits.shape[-1], dtype=torch.bool, device=device)
    ends[[index for index in stop_ids if index < len(ends)]] = True
    rows = torch.arange(len(prompts), device=device)  # which request each row of the batch belongs to
    running = torch.ones(len(prompts), dtype=torch.bool, device=device)
    for step in range(steps):
        tokens, logprobs = sampler.pick(batch.logits, rows, step)
        record.ids[rows, step] = tokens
        record.logprob[rows] += logprobs * running
        ended = ends[tokens]
        stopped = torch.zeros_like(ended)
        if scan is not None:
            hits = scan.hits(tokens.cpu(), (running & ~ended).cpu(), record.ids[rows, : step + 1].cpu())
            stopped = hits.to(device)
        over = running & (ended | stopped | (limit[rows] == step + 1))
        if not over.any():
            batch.step(tokens)
            continue
        done = rows[over]
        record.length[done] = step + 1
        record.reason[done] = (ended.long() + 2 * stopped.long())[over]
        running = running & ~over
        left = int(running.sum())
        if left == 0:
            break
        if left <= DROP_AT * len(rows):
            keep = running.nonzero()[:, 0]
            batch.keep(keep)
            rows, tokens, running = rows[keep], tokens[keep], running[keep]
        batch.step(tokens)
    return record.written()
