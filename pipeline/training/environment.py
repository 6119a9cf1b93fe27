"""What a child of the training sees of our environment."""

from __future__ import annotations

import os
from pathlib import Path


def child_environment(threads: int, gpus: int = 1) -> dict[str, str]:
    """The child's environment: ours, offline, quiet, with as many threads and GPUs as asked for."""
    package_root = str(Path(__file__).resolve().parents[2])
    inherited = os.environ.get("PYTHONPATH")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([package_root, *([inherited] if inherited else [])]),
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        # A trainer that sees more devices than it was started for refuses to run.
        "CUDA_VISIBLE_DEVICES": ",".join(
            map(str, range(gpus)) if visible is None else visible.split(",")[:gpus]
        ),
    }
