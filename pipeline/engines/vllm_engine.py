"""vLLM in this process: the default where there is a GPU. Completions are handed on as they finish."""

from __future__ import annotations

import gc
import os
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.engines import EngineConfig
from pipeline.engines.adapters import vllm_rank
from pipeline.engines.clock import Clock
from pipeline.engines.stops import drawn_text
from pipeline.engines.tokenizer import Tokenizer, load_tokenizer
from pipeline.engines.weights import context_of, one_line
from pipeline.errors import ConfigError, DataError, ModelLoadError
from pipeline.records import Completion, FinishReason, Request, Sampling

# Read by vllm when it is imported; what the user has set stays.
ENVIRONMENT = {
    # In this process: scheduling is repeatable, and a killed stage leaves no engine holding the GPU.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    # Without a GPU: GiB of key-value cache (else a share of the machine), and no pinning of threads to cores.
    "VLLM_CPU_KVCACHE_SPACE": "2",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}
# Requests inside vllm at once, as a multiple of those it writes at once: enough to keep it busy.
WAITING = 3
# While there is room and no request to fill it with, what is finished is handed on after this time: more may
# come of it.
HAND_ON_S = 0.5
SHORT_OF_MEMORY = (
    "If memory is short, lower engine.gpu_memory_utilization, engine.max_model_len or engine.batch_size; "
    "if vllm does not know the architecture, set engine.kind: transformers"
)
# A prompt is computed in one step on a CPU; short ones share a step of this many tokens.
CPU_BATCHED_TOKENS = 4096


class VllmEngine:
    """One vLLM engine; every request is n = 1 with its own seed, shared prefixes come from its cache."""

    kind = "vllm"
    mixes = True

    def __init__(
        self,
        config: EngineConfig,
        model_path: Path,
        *,
        model_hash: str,
        chat: bool,
        adapter_rank: int | None = None,
    ) -> None:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        import torch

        platform = platform_for(config, model_path)
        if platform.on_cpu:
            torch.set_num_threads(config.threads)
        self.model_hash = model_hash
        self.versions = platform.versions
        self.device = platform.device
        self.tokenizer: Tokenizer = load_tokenizer(model_path, chat=chat)
        self.context = context_of(model_path, config.max_model_len)
        self._gpus = config.tensor_parallel
        self._flush_every = config.flush_every
        self._at_once = WAITING * config.batch_size
        self._added = 0
        self._takes_adapters = adapter_rank is not None
        self._adapter: Any = None
        self._adapters = 0
        self._resting = False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # vllm's own use of deprecated parts of torch
            self._llm: Any = _load(config, model_path, self.context, platform.on_cpu, adapter_rank)

    def groups(self, requests: Sequence[Request]) -> list[tuple[Request, ...]]:
        """One request each: vLLM chooses what it writes together. Same prompts stay side by side."""
        return [(request,) for request in requests]

    def complete(
        self, groups: Iterable[tuple[Request, ...] | None], sampling: Sampling
    ) -> Iterator[list[Completion]]:
        """Whole groups in lists of about `flush_every`; memory is bounded by the requests at once."""
        engine = self._llm.llm_engine
        waiting = iter(groups)
        running: dict[str, _Asked] = {}
        ready: list[Completion] = []
        exhausted = False
        clock = Clock()
        handed_on = time.monotonic()
        try:
            while True:
                dry = False
                while not (
                    exhausted or dry or len(running) >= self._at_once or len(ready) >= self._flush_every
                ):
                    group = next(waiting, ())
                    exhausted, dry = group == (), group is None
                    ready += self._add(engine, group, sampling, running) if group else []
                idle = not running
                due = dry and (idle or (ready and time.monotonic() - handed_on >= HAND_ON_S))
                if len(ready) >= self._flush_every or due or (exhausted and idle and ready):
                    yield ready
                    ready = []
                    clock.restart()
                    handed_on = time.monotonic()
                if exhausted and idle:
                    return
                finished = [output for output in engine.step() if output.finished] if running else []
                seconds = clock.share(len(finished))
                for output in finished:
                    asked = running.pop(output.request_id)
                    asked.group.done.append(self._completion(asked, output.outputs[0], seconds))
                    ready += asked.group.whole()
        finally:
            if running:
                engine.abort_request(list(running))

    def _add(
        self, engine: Any, requests: Sequence[Request], sampling: Sampling, running: dict[str, _Asked]
    ) -> list[Completion]:
        """Hand a group to vllm; its completions where it is whole already (no prompt fits)."""
        group = _Group(len(requests), [])
        prompts = self.tokenizer.encode_prompts([request.prompt for request in requests])
        for request, prompt in zip(requests, prompts, strict=True):
            if not prompt:
                raise DataError(f"request {request.request_id} has an empty prompt; expected a token or more")
            room = self.context - len(prompt)
            if room <= 0:
                reason = FinishReason.PROMPT_TOO_LONG
                group.done.append(Completion(request.request_id, "", reason, len(prompt), 0, None, 0.0))
                continue
            # A request asked again (another sampling, a second pass) must not meet its older self.
            self._added += 1
            name = f"{self._added}-{request.request_id}"
            drawn = request.sampling or sampling
            params = self._params(drawn, request.seed, room)
            engine.add_request(name, {"prompt_token_ids": prompt}, params, lora_request=self._adapter)
            running[name] = _Asked(request, drawn, len(prompt), group)
        return group.whole()

    def _params(self, sampling: Sampling, seed: int, room: int) -> Any:
        """Every field that changes what is written, said explicitly."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        return SamplingParams(
            n=1,
            seed=seed,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            min_p=0.0,
            presence_penalty=0.0,
            frequency_penalty=0.0,
            repetition_penalty=1.0,
            max_tokens=min(sampling.max_tokens, room),
            min_tokens=0,
            stop=[text for text in sampling.stop if self.tokenizer.special_id(text) is None],
            stop_token_ids=sorted(self.tokenizer.stop_ids_with(sampling.stop)),
            ignore_eos=False,
            logprobs=0,  # of the drawn token only
            detokenize=bool(sampling.stop),  # vllm looks for stop strings in text; ours is decoded below
            skip_special_tokens=True,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def _completion(self, asked: _Asked, output: Any, seconds: float) -> Completion:
        ids = list(output.token_ids)
        if output.finish_reason not in ("stop", "length"):
            raise RuntimeError(
                f"vllm ended request {asked.request.request_id} with {output.finish_reason!r}; "
                "expected 'stop' or 'length'"
            )
        stopped = output.finish_reason == "stop"
        text, reason = drawn_text(self.tokenizer, ids, stopped=stopped, stop=asked.sampling.stop)
        mean = output.cumulative_logprob / len(ids) if ids else None
        return Completion(
            asked.request.request_id, text, reason, asked.prompt_tokens, len(ids), mean, seconds
        )

    def use_adapter(self, adapter: Path | None, model_hash: str) -> None:
        """Write with this adapter from now on (None: with the base alone), awake where it rested."""
        from vllm.lora.request import LoRARequest

        if self._resting:
            self._llm.wake_up()
            self._resting = False
        self.model_hash = model_hash
        if adapter is None:
            self._adapter = None
        elif self._adapter is None or self._adapter.lora_name != model_hash:
            # The name keeps the cached prefixes of one adapter from another's; the number is vllm's key.
            self._adapters += 1
            self._adapter = LoRARequest(model_hash, self._adapters, str(adapter))

    def rest(self) -> bool:
        """Give a GPU's memory back until the next `use_adapter`, weights kept in main memory.

        False where it was opened without room for adapters. On a CPU there is nothing to give back.
        """
        if self._takes_adapters and self.device != "cpu" and not self._resting:
            self._llm.sleep(level=1)
            self._resting = True
        return self._takes_adapters

    def peak_gpu_memory(self) -> float | None:
        """MiB in use on its GPUs, by whoever: vllm takes its share at the start, and in other processes.

        None on a CPU.
        """
        if self.device == "cpu":
            return None
        import torch

        states = [torch.cuda.mem_get_info(index) for index in range(self._gpus)]
        return sum(total - free for free, total in states) / (1 << 20)

    def close(self) -> None:
        """Shut the engine down and give the GPU's memory back."""
        if self._llm is None:
            return
        self._llm.llm_engine.engine_core.shutdown()
        self._llm = None
        gc.collect()
        from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

        cleanup_dist_env_and_memory()


@dataclass(slots=True)
class _Group:
    """Requests that are handed on together."""

    size: int
    done: list[Completion]

    def whole(self) -> list[Completion]:
        """All completions once the last is there, else none."""
        return self.done if len(self.done) == self.size else []


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request inside vllm."""

    request: Request
    sampling: Sampling
    prompt_tokens: int
    group: _Group


@dataclass(frozen=True, slots=True)
class Platform:
    """What vllm runs on here."""

    on_cpu: bool
    device: str
    versions: dict[str, str]


def platform_for(config: EngineConfig, model_path: Path) -> Platform:
    """What vllm runs on; ConfigError where the config wants another device, ModelLoadError where it has no
    kernel for the model. The variables of ENVIRONMENT are set by then."""
    import torch
    import transformers
    import vllm
    from vllm.platforms import current_platform

    on_cpu = bool(current_platform.is_cpu())
    _check_device(config, on_cpu)
    if on_cpu:
        _check_head_width(model_path)
    versions = {
        "vllm": vllm.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    return Platform(on_cpu, "cpu" if on_cpu else str(current_platform.get_device_name()), versions)


def _check_device(config: EngineConfig, on_cpu: bool) -> None:
    if config.device == "cuda" and on_cpu:
        raise ConfigError(
            "engine.device is cuda, but the vllm installed here is the CPU build or sees no CUDA device; "
            "install vllm (not vllm-cpu) on a machine with a GPU, or set engine.device: auto"
        )
    if config.device == "cpu" and not on_cpu:
        raise ConfigError(
            "engine.device is cpu, but the vllm installed here is the CUDA build; "
            "set engine.kind: transformers, or engine.device: auto"
        )


def _check_head_width(path: Path) -> None:
    """vLLM's attention on a CPU is compiled for some head widths, and fails only at the first prompt."""
    from transformers import AutoConfig
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

    shape = AutoConfig.from_pretrained(str(path), local_files_only=True).get_text_config(decoder=True)
    width = getattr(shape, "head_dim", None) or shape.hidden_size // shape.num_attention_heads
    known = CPUAttentionBackend.get_supported_head_sizes()
    if width not in known:
        raise ModelLoadError(
            f"vllm cannot run the model in {path} on a CPU: its attention heads are {width} wide, expected "
            f"one of {', '.join(map(str, known))}; set engine.kind: transformers"
        )


def load_arguments(
    config: EngineConfig, context: int, *, on_cpu: bool, adapter_rank: int | None = None
) -> dict[str, Any]:
    """What vllm is told of how to load a model, but for the model: as keywords of `LLM`, or options of
    `vllm serve`."""
    arguments: dict[str, Any] = {
        "trust_remote_code": False,
        "load_format": "safetensors",
        "dtype": _dtype(config, on_cpu),
        "seed": 0,
        "max_model_len": context,
        "max_num_seqs": config.batch_size,
        "tensor_parallel_size": config.tensor_parallel,
        "gpu_memory_utilization": config.gpu_memory_utilization,
        "enable_prefix_caching": config.prefix_caching,
        "enforce_eager": config.enforce_eager,
        "generation_config": "vllm",  # its own neutral defaults, not the model's
        "logprobs_mode": "raw_logprobs",
        "disable_log_stats": True,
    }
    if adapter_rank is not None:
        # Asleep while a training has the GPU: the base's weights wait in main memory.
        arguments |= {"enable_lora": True, "max_loras": 1, "enable_sleep_mode": not on_cpu}
        arguments["max_lora_rank"] = vllm_rank(adapter_rank)
    if on_cpu:
        # A prompt split over steps crashes seeded sampling there: "CPU Generator does not use offset".
        arguments["enable_chunked_prefill"] = False
        arguments["max_num_batched_tokens"] = max(context, config.batch_size, CPU_BATCHED_TOKENS)
    return arguments


def _dtype(config: EngineConfig, on_cpu: bool) -> str:
    import torch

    if config.dtype != "auto":
        return config.dtype
    # "auto" of vllm would make float16 of a float32 model.
    return "float32" if on_cpu else "bfloat16" if torch.cuda.is_bf16_supported() else "float16"


def _load(config: EngineConfig, path: Path, context: int, on_cpu: bool, adapter_rank: int | None) -> Any:
    from safetensors import SafetensorError
    from vllm import LLM

    arguments = load_arguments(config, context, on_cpu=on_cpu, adapter_rank=adapter_rank)
    try:
        return LLM(model=str(path), tokenizer=str(path), **arguments)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise ModelLoadError(
            f"vllm cannot load the model in {path} ({arguments['dtype']}, {context} tokens of context, "
            f"tensor_parallel {config.tensor_parallel}): {one_line(error)}. {SHORT_OF_MEMORY}"
        ) from error
