"""Memory of generating for many problems: `python -m benchmarks.speed.memory`.

One shard, the scripted engine, one sample of each problem, for two sizes of the problem set; the peak is of
the whole process tree, as `stage_runs` records it. Flat: it does not grow with the number of problems.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.speed.measuring import machine
from pipeline.paths import Home
from pipeline.store import Store

CONFIG = "smoke"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.memory")
    parser.add_argument("--problems", type=int, nargs="+", default=[100_000, 1_000_000])
    options = parser.parse_args()
    print(f"the scripted engine, {machine('duckdb', 'pyarrow')}\n")
    print("| problems | peak MiB | seconds | shard file MiB |\n|---|---|---|---|")
    for problems in options.problems:
        with tempfile.TemporaryDirectory() as folder:
            print(_line(problems, Path(folder)), flush=True)


def _line(problems: int, folder: Path) -> str:
    script = folder / "script.jsonl"
    script.write_text("")
    settings = {
        "problems.sources.columns.train": problems,
        "problems.sources.columns.max_columns": 5,
        "engine.kind": "scripted",
        "engine.script": script,
        "engine.flush_every": 4096,
        "generate.problems": "null",
        "generate.samples": 1,
    }
    command = [
        sys.executable,
        "-m",
        "pipeline",
        "run",
        CONFIG,
        "--experiment",
        "memory",
        "--until",
        "generate",
    ]
    for key, value in settings.items():
        command += ["--set", f"{key}={value}"]
    done = subprocess.run(
        command, env={**os.environ, "STAR_HOME": str(folder)}, capture_output=True, text=True
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    sql = "select peak_memory, seconds from stage_runs where stage = 'generate'"
    ((peak, seconds),) = Store(Home(folder)).query_readonly(sql)[1]
    size = sum(file.stat().st_size for file in folder.rglob("rationales.parquet")) / (1 << 20)
    return f"| {problems:,} | {peak:,.0f} | {seconds:,.0f} | {size:,.0f} |"


if __name__ == "__main__":
    main()
