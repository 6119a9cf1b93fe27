"""Engines write: requests in, completions out as they finish."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from pipeline.config.engines import EngineConfig
from pipeline.engines.base import Engine
from pipeline.errors import ConfigError
from pipeline.progress import Progress

__all__ = ["Engine", "open_engine", "resolve_kind"]


def resolve_kind(config: EngineConfig) -> str:
    """`vllm`, `transformers`, `openai` or `scripted`: what `auto` means here, else what the config says.

    ConfigError where vllm is asked for, in this process or as a server, and not installed.
    """
    serve = config.endpoint is not None and config.endpoint.serve
    if (config.kind == "vllm" or serve) and find_spec("vllm") is None:
        asked = "engine.endpoint.serve is on" if serve else "engine.kind is vllm"
        raise ConfigError(
            f"{asked}, but vllm is not installed; "
            "run: pip install 'star-pipeline[vllm]', or set engine.kind: auto"
        )
    if config.kind != "auto":
        return config.kind
    return "vllm" if find_spec("vllm") is not None and _cuda_wanted(config) else "transformers"


def _cuda_wanted(config: EngineConfig) -> bool:
    if config.device == "cpu":
        return False
    import torch

    return torch.cuda.is_available()


def open_engine(
    config: EngineConfig,
    model_path: Path,
    *,
    model_hash: str,
    chat: bool,
    progress: Progress,
    adapter: Path | None = None,
    adapter_rank: int | None = None,
) -> Engine:
    """The engine of a config, its model loaded; use it with `contextlib.closing`.

    `adapter` is put on the weights of `model_path`; `adapter_rank` has vllm leave room for such adapters.
    ModelLoadError where the model cannot be loaded, ConfigError where the config asks for what is not there,
    ServerError where its server does not answer.
    """
    kind = resolve_kind(config)
    if kind == "scripted":
        from pipeline.engines.scripted import ScriptedEngine

        return ScriptedEngine(config, model_hash=model_hash)
    if kind == "openai":
        from pipeline.engines.openai_engine import OpenAIEngine

        serve = config.endpoint is not None and config.endpoint.serve
        progress.note(f"starting vllm serve with {model_path.name}" if serve else f"asking {model_hash}")
        return OpenAIEngine(config, model_path, model_hash=model_hash, chat=chat)
    if kind == "vllm":
        from pipeline.engines.vllm_engine import VllmEngine

        progress.note(f"loading {model_path.name} into vllm")
        engine = VllmEngine(config, model_path, model_hash=model_hash, chat=chat, adapter_rank=adapter_rank)
        engine.use_adapter(adapter, model_hash)
        return engine
    from pipeline.engines.transformers_engine import TransformersEngine

    return TransformersEngine(config, model_path, model_hash=model_hash, chat=chat, adapter=adapter)
