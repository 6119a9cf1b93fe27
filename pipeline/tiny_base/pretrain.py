"""The pretraining loop: plain torch, loss on what follows the prompt, equal seeds give equal weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.config.tiny_base import TinyShape
from pipeline.progress import Progress

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

BETAS = (0.9, 0.98)
WEIGHT_DECAY = 0.01
WARMUP_STEPS = 30
FINAL_SHARE = 0.05
CLIP = 1.0
LENGTH_GROUPS = 2
IGNORED = -100


@dataclass(frozen=True, slots=True)
class Document:
    """Token ids of prompt and completion, end token included; the loss falls on the last `scored` ids."""

    ids: list[int]
    scored: int


def new_model(config: TinyShape, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A Llama with random weights drawn by the config's seed, in float32."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(config.seed)
    shape = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=config.width,
        intermediate_size=config.ffn,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.heads,
        head_dim=config.width // config.heads,
        max_position_embeddings=config.context,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        attn_implementation="sdpa",
    )
    return LlamaForCausalLM(shape).to(torch.float32)


def pretrain(
    model: LlamaForCausalLM,
    next_document: Callable[[], Document],
    config: TinyShape,
    progress: Progress,
) -> None:
    """`config.steps` AdamW steps of `config.batch_size` documents: warm-up, then a cosine down to 5%."""
    import torch

    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, betas=BETAS, weight_decay=WEIGHT_DECAY, foreach=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_at(step, config.steps))
    model.train()
    with progress.task("pretraining the tiny base", config.steps, "steps") as task:
        for _ in range(config.steps):
            documents = [next_document() for _ in range(config.batch_size)]
            loss = _accumulate(model, documents)
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            task.advance(1, f"loss {loss:.3f}")
    model.eval()


def rate_at(step: int, steps: int) -> float:
    """Share of the peak rate at a step (from 0): linear warm-up over 30 steps, cosine to 5% at the end."""
    warmup = min(WARMUP_STEPS, max(steps // 4, 1))
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(steps - warmup, 1)
    return FINAL_SHARE + (1 - FINAL_SHARE) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def _accumulate(model: LlamaForCausalLM, documents: Sequence[Document]) -> float:
    """Gradients of the batch's mean loss a token, in groups of similar length: less padding, the same sum."""
    from torch.nn.functional import cross_entropy

    scored = sum(document.scored for document in documents)
    by_length = sorted(documents, key=lambda document: len(document.ids))
    size = math.ceil(len(by_length) / LENGTH_GROUPS)
    total = 0.0
    for start in range(0, len(by_length), size):
        ids, labels = _pad(by_length[start : start + size])
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
        targets = labels[:, 1:].reshape(-1)
        loss = cross_entropy(logits.flatten(0, 1), targets, ignore_index=IGNORED, reduction="sum")
        (loss / scored).backward()
        total += float(loss.detach())
    return total / scored


def _pad(documents: Sequence[Document]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and labels, (documents, longest). Padding is on the right, where causal attention never looks."""
    import torch

    longest = max(len(document.ids) for document in documents)
    ids = torch.zeros(len(documents), longest, dtype=torch.long)
    labels = torch.full((len(documents), longest), IGNORED, dtype=torch.long)
    for row, document in enumerate(documents):
        tokens = torch.tensor(document.ids)
        ids[row, : len(tokens)] = tokens
        labels[row, len(tokens) - document.scored : len(tokens)] = tokens[-document.scored :]
    return ids, labels
