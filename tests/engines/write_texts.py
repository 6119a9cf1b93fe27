"""Run one engine in a process of its own: `python -m tests.engines.write_texts JOB.json OUT.json`.

vLLM sets process-wide state, so it is kept out of the process of the tests. JOB holds the model's path, the
engine's config and a list of passes (requests, sampling, and where the job has an `adapter_rank` the adapter that
they are written with); OUT gets, for every pass, the lists of completions
as they were handed on.
"""

import dataclasses
import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from pipeline.config.engines import EngineConfig
from pipeline.engines import open_engine
from pipeline.engines.adapters import AdapterEngine
from pipeline.progress import LogProgress
from pipeline.records import Request, Sampling


def main(job_path: str, out_path: str) -> None:
    job = json.loads(Path(job_path).read_text())
    config = EngineConfig(**job["config"])
    results: list[Any] = []
    opened = open_engine(
        config,
        Path(job["model"]),
        model_hash="hash",
        chat=job["chat"],
        progress=LogProgress(),
        adapter_rank=job.get("adapter_rank"),
    )
    with closing(opened) as engine:
        for asked in job["passes"]:
            if isinstance(engine, AdapterEngine):
                adapter = asked.get("adapter")
                engine.use_adapter(adapter and Path(adapter), adapter or "base")
            requests = [Request(**request) for request in asked["requests"]]
            sampling = Sampling(**{**asked["sampling"], "stop": tuple(asked["sampling"]["stop"])})
            lists = []
            for done in engine.complete(engine.groups(requests), sampling):
                lists.append([dataclasses.asdict(completion) for completion in done])
                if len(lists) == asked.get("leave_after"):
                    break
            results.append(lists)
        about = {"kind": engine.kind, "device": engine.device, "versions": engine.versions}
    Path(out_path).write_text(json.dumps({"about": {**about, "context": engine.context}, "passes": results}))


if __name__ == "__main__":
    main(*sys.argv[1:])
