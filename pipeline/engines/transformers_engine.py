"""The engine that needs nothing but torch and transformers: the default where there is no GPU."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config.engines import EngineConfig
from pipeline.engines.attention import SDPA, use_one_query_attention
from pipeline.engines.batches import fixed_batches
from pipeline.engines.decoding import Written, write_batch
from pipeline.engines.sampler import Sampler
from pipeline.engines.stops import StopScan, cut_at_stop
from pipeline.engines.tokenizer import Tokenizer, load_tokenizer
from pipeline.engines.weights import context_of, one_line
from pipeline.errors import ConfigError, DataError, ModelLoadError
from pipeline.records import Completion, FinishReason, Request, Sampling

if TYPE_CHECKING:
    import torch

_ENCODED_AT_ONCE = 1024


class TransformersEngine:
    """Writes fixed batches with a loop of its own over the model: same batches, one thread, same texts."""

    kind = "transformers"
    mixes = False

    def __init__(
        self,
        config: EngineConfig,
        model_path: Path,
        *,
        model_hash: str,
        chat: bool,
        adapter: Path | None = None,
    ) -> None:
        import torch
        import transformers

        self.model_hash = model_hash
        self.versions = {"torch": torch.__version__, "transformers": transformers.__version__}
        self._batch_size = config.batch_size
        device = _device(config)
        if device.type == "cpu":
            torch.set_num_threads(config.threads)
        else:
            torch.cuda.reset_peak_memory_stats(device)
        self._on_gpu = device.type == "cuda"
        self.device = torch.cuda.get_device_name(device) if self._on_gpu else "cpu"
        self.tokenizer: Tokenizer = load_tokenizer(model_path, chat=chat)
        self.model: Any = _load_model(model_path, _dtype(config, device), device, adapter)
        self.context = context_of(model_path, config.max_model_len)
        self._scans: dict[tuple[str, ...], StopScan] = {}

    def groups(self, requests: Sequence[Request]) -> list[tuple[Request, ...]]:
        """Fixed batches by prompt length (see `fixed_batches`)."""
        return fixed_batches(requests, self._prompt_lengths(requests), self._batch_size)

    def complete(
        self, groups: Iterable[tuple[Request, ...] | None], sampling: Sampling
    ) -> Iterator[list[Completion]]:
        """One list per group, in the order given; memory is bounded by one batch."""
        for group in filter(None, groups):
            yield self._complete_group(group, sampling)

    def peak_gpu_memory(self) -> float | None:
        """MiB of this process's allocator; None on a CPU."""
        import torch

        return torch.cuda.max_memory_allocated(self.model.device) / (1 << 20) if self._on_gpu else None

    def close(self) -> None:
        """Drop the weights, and give a GPU's memory back."""
        if self.model is None:
            return
        import torch

        self.model = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _prompt_lengths(self, requests: Sequence[Request]) -> list[int]:
        distinct = list(dict.fromkeys(request.prompt for request in requests))
        length: dict[str, int] = {}
        for start in range(0, len(distinct), _ENCODED_AT_ONCE):
            texts = distinct[start : start + _ENCODED_AT_ONCE]
            encoded = self.tokenizer.encode_prompts(texts)
            length.update((text, len(ids)) for text, ids in zip(texts, encoded, strict=True))
        return [length[request.prompt] for request in requests]

    def _complete_group(self, group: Sequence[Request], sampling: Sampling) -> list[Completion]:
        import torch

        started = time.perf_counter()
        prompts = self.tokenizer.encode_prompts([request.prompt for request in group])
        for request, prompt in zip(group, prompts, strict=True):
            if not prompt:
                raise DataError(
                    f"request {request.request_id} has an empty prompt; expected at least one token"
                )
        fitting = [row for row, prompt in enumerate(prompts) if len(prompt) < self.context]
        with torch.inference_mode():
            written = self._write([group[i] for i in fitting], [prompts[i] for i in fitting], sampling)
        seconds = (time.perf_counter() - started) / max(len(fitting), 1)
        by_row = dict(zip(fitting, written, strict=True))
        return [
            self._completion(request, len(prompts[row]), by_row.get(row), sampling, seconds)
            for row, request in enumerate(group)
        ]

    def _write(
        self, requests: Sequence[Request], prompts: Sequence[Sequence[int]], sampling: Sampling
    ) -> list[Written]:
        if not requests:
            return []
        seeds = [request.seed for request in requests]
        limits = [min(sampling.max_tokens, self.context - len(prompt)) for prompt in prompts]
        return write_batch(
            self.model,
            prompts,
            limits,
            lambda steps: Sampler(sampling, seeds, steps, self.model.device),
            self.tokenizer.stop_ids_with(sampling.stop),
            self._scan(sampling.stop),
        )

    def _scan(self, stop: tuple[str, ...]) -> StopScan | None:
        """What looks for the stop strings that show in text; made once, its table covers the vocabulary."""
        texts = tuple(text for text in stop if self.tokenizer.special_id(text) is None)
        if texts and texts not in self._scans:
            self._scans[texts] = StopScan(self.tokenizer, texts)
        return self._scans.get(texts)

    def _completion(
        self,
        request: Request,
        prompt_tokens: int,
        written: Written | None,
        sampling: Sampling,
        seconds: float,
    ) -> Completion:
        if written is None:
            reason = FinishReason.PROMPT_TOO_LONG
            return Completion(request.request_id, "", reason, prompt_tokens, 0, None, 0.0)
        ids, reason = written.ids, written.finish_reason
        text = self.tokenizer.decode(ids[:-1] if reason is FinishReason.EOS else ids)
        if (cut := cut_at_stop(text, sampling.stop)) is not None:
            text, reason = cut, FinishReason.STOP
        return Completion(
            request.request_id, text, reason, prompt_tokens, len(ids), written.mean_logprob, seconds
        )


def _device(config: EngineConfig) -> torch.device:
    import torch

    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "engine.device is cuda, but torch sees no CUDA device "
            f"(torch {torch.__version__}); set engine.device: auto, or install a CUDA build of torch"
        )
    wanted = config.device
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def _dtype(config: EngineConfig, device: torch.device) -> torch.dtype:
    import torch

    named = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if config.dtype != "auto":
        return named[config.dtype]
    return torch.bfloat16 if device.type == "cuda" else torch.float32


def _load_model(path: Path, dtype: torch.dtype, device: torch.device, adapter: Path | None) -> Any:
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # a bar for a fraction of a second, in every log
    try:
        model = AutoModelForCausalLM.from_pretrained(
            str(path), dtype=dtype, local_files_only=True, trust_remote_code=False, use_safetensors=True
        )
        if adapter is not None:
            model = _merged(model, adapter)
        model = model.to(device).eval()
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise ModelLoadError(
            f"cannot load the model in {adapter or path} as a causal language model with transformers "
            f"({dtype} on {device}, safetensors only, trust_remote_code off): {one_line(error)}"
        ) from error
    if not {"past_key_values", "logits_to_keep"} <= set(signature(model.forward).parameters):
        raise ModelLoadError(
            f"the model in {path} ({model.config.model_type}) does not take a key-value cache, which engine "
            "transformers writes with; set engine.kind: vllm, or take another model"
        )
    if device.type == "cpu" and model.config._attn_implementation == SDPA:
        use_one_query_attention(model)
    return model


def _merged(model: Any, adapter: Path) -> Any:
    """The model with the adapter added to its weights, in memory alone."""
    from peft import PeftModel

    return PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
