"""The transformers engine beside length-sorted `model.generate`: `python -m benchmarks.speed.generation`.

Both write four samples at temperature 1 of each of 600 questions of the demo, with its base, on one thread:
ours as a stage does, part files and all, in batches of 512; `generate` in batches of prompts sorted by
length, in the size that is fastest of those tried first.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.speed.measuring import machine, rates, table
from benchmarks.speed.sampled import QUIET, asks_of, write_as_a_stage
from pipeline.config import ExperimentConfig, load_config
from pipeline.engines.tokenizer import Tokenizer
from pipeline.engines.transformers_engine import TransformersEngine
from pipeline.paths import Home
from pipeline.problems import load_problems
from pipeline.prompts import PromptBook
from pipeline.records import Sampling, Split
from pipeline.stages.generate import draw
from pipeline.tiny_base import ensure_tiny_base

CONFIG = "addition"
SIZES = (64, 128, 256, 512)


@dataclass(frozen=True, slots=True)
class Plain:
    """The library's own way to write."""

    model: Any
    tokenizer: Tokenizer
    sampling: Sampling

    def write(self, texts: Sequence[str], size: int) -> int:
        """Tokens drawn in batches of `size`, end tokens included and what pads ended rows left out."""
        return sum(self._write(texts[start : start + size]) for start in range(0, len(texts), size))

    def _write(self, texts: Sequence[str]) -> int:
        import torch

        tokenizer = self.tokenizer
        prompts = tokenizer.encode_prompts(texts)
        width = max(map(len, prompts))
        missing = [width - len(prompt) for prompt in prompts]
        with torch.inference_mode():
            written = self.model.generate(
                input_ids=torch.tensor(
                    [[tokenizer.pad_id] * m + p for m, p in zip(missing, prompts, strict=True)]
                ),
                attention_mask=torch.tensor([[0] * m + [1] * (width - m) for m in missing]),
                do_sample=True,
                temperature=self.sampling.temperature,
                top_k=self.sampling.top_k,
                top_p=self.sampling.top_p,
                max_new_tokens=self.sampling.max_tokens,
                eos_token_id=tokenizer.eos_id,
                pad_token_id=tokenizer.pad_id,
            )[:, width:].tolist()
        end = tokenizer.eos_id
        rows = [row[: row.index(end) + 1] if end in row else row for row in written]
        for row in rows:
            tokenizer.decode(row)
        return sum(map(len, rows))


def main() -> None:
    import torch
    from transformers import AutoModelForCausalLM

    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.generation")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    config = load_config(Path(CONFIG)).config
    assert config.model.tiny is not None
    base = ensure_tiny_base(config.model.tiny, Home.from_environment().bases, QUIET)
    drawn = config.generate
    sampling = Sampling(drawn.max_tokens, drawn.temperature, drawn.top_p, drawn.top_k)
    engine = TransformersEngine(config.engine, base, model_hash="base", chat=False)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    plain = Plain(model, engine.tokenizer, sampling)
    asks = asks_of(questions(config), drawn.samples)
    texts = sorted((ask.prompt.text for ask in asks), key=len)
    spent = _tried(plain, texts)
    best = min(spent, key=spent.__getitem__)
    theirs, ours = f"`model.generate`, batches of {best}", "the engine in a stage"
    sides = {
        theirs: lambda: plain.write(texts, best),
        ours: lambda: write_as_a_stage(engine, asks, sampling),
    }
    print(f"{len(asks):,} texts of the demo's base, {machine('torch', 'transformers')}\n")
    print(table(rates(sides, options.repeat), theirs))
    tried = ", ".join(f"{size}: {seconds:.1f} s" for size, seconds in spent.items())
    print(f"\n`model.generate` tried once in batches of {tried}.")


def questions(config: ExperimentConfig) -> list[str]:
    """The prompts of the demo's round 1."""
    train = [problem for problem in load_problems(config).problems if problem.split is Split.TRAIN]
    book = PromptBook(config.prompts, [], [], None)
    return [book.generation(problem, few_shot=False).text for problem in draw(train, config, 1)]


def _tried(plain: Plain, texts: Sequence[str]) -> dict[int, float]:
    """Seconds that all texts take, by batch size."""
    plain.write(texts[:256], 64)  # the first call is slower
    spent: dict[int, float] = {}
    for size in SIZES:
        started = time.perf_counter()
        plain.write(texts, size)
        spent[size] = time.perf_counter() - started
    return spent


if __name__ == "__main__":
    main()
