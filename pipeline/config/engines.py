"""Which engine writes, and how it is run."""

from __future__ import annotations

from typing import Literal

from pipeline.config.section import Section, option


class EngineConfig(Section):
    """The engine that turns prompts into completions."""

    kind: Literal["auto", "vllm", "transformers", "scripted"] = option("auto")
    """`auto` takes vllm where a CUDA device and vllm are at hand, else transformers. `scripted` replays the
    texts of `script` (for tests of what is not the model); its rows say so."""

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = option("auto")
    """Weights in memory. `auto`: bfloat16 on a GPU, float32 on a CPU."""

    max_model_len: int | None = option(None, ge=16)
    """Context in tokens, prompt and completion together. None: what the model's config says."""

    script: str | None = option(None)
    """JSON Lines for `scripted`: rows `{problem_id, origin, texts: [...], finish_reason?}`; sample i gets
    text i modulo their number. A problem without a row gets an empty text."""

    device: Literal["auto", "cpu", "cuda"] = option("auto", execution=True)
    """Where it runs."""

    batch_size: int = option(128, execution=True, ge=1)
    """Requests per batch of the transformers engine; `max_num_seqs` of vllm."""

    threads: int = option(1, execution=True, ge=1)
    """CPU threads of the engine, where there is no GPU. One a process is safe on a shared machine."""

    tensor_parallel: int = option(1, execution=True, ge=1)
    """GPUs one vllm engine spreads a model over."""

    gpu_memory_utilization: float = option(0.9, execution=True, gt=0, le=1)
    """Share of the GPU's memory that vllm may take."""

    prefix_caching: bool = option(True, execution=True)
    """Keep the key-value cache of the shared few-shot prefix (vllm)."""

    enforce_eager: bool = option(False, execution=True)
    """Skip vllm's compilation: starts faster, writes slower."""

    flush_every: int = option(64, execution=True, ge=1)
    """Completions written to a part file at once where the engine hands them on one by one (vllm)."""
