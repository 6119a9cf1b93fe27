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
    chosen = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    _star(folder, "run", CONFIG, "--experiment", "memory", "--rounds", "0", *chosen)
    for stage in ("prepare", "generate"):  # processes of their own, without what round 0 has loaded
        _star(folder, "stage", stage, "memory", "--round", "1")
    sql = "select peak_memory, seconds from stage_runs where stage = 'generate'"
    ((peak, seconds),) = Store(Home(folder)).query_readonly(sql)[1]
    size = sum(file.stat().st_size for file in folder.rglob("rationales.parquet")) / (1 << 20)
    return f"| {problems:,} | {peak:,.0f} | {seconds:,.0f} | {size:,.0f} |"


def _star(home: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "pipeline", *arguments]
    environment = {**os.environ, "STAR_HOME": str(home)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"star {' '.join(arguments)} failed:\n{done.stderr[-2000:]}")


if __name__ == "__main__":
    main()
