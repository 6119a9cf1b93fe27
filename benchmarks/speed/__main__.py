"""Every table of `benchmarks/speed`, one process after another: `python -m benchmarks.speed [NAME ...]`."""

from __future__ import annotations

import argparse
import subprocess
import sys

MEASURES = {
    "generation": "the transformers engine beside length-sorted `model.generate`",
    "vllm": "the vllm engine beside bare `LLM.generate`, with and without its prefix cache",
    "training": "a training beside a bare `SFTTrainer`",
    "rounds": "a round of the demo: engine, trainer, and the rest",
    "memory": "memory of generating for a million problems",
    "adaptive": "adaptive sampling beside a fixed number of samples, three seeds of the demo",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed")
    names = ", ".join(MEASURES)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: all of {names}")
    chosen = parser.parse_args().names or list(MEASURES)
    if unknown := [name for name in chosen if name not in MEASURES]:
        parser.error(f"no measure is named {unknown[0]!r}; there are: {names}")
    failed = []
    for name in chosen:
        print(f"\n## {name}: {MEASURES[name]}\n", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.speed.{name}"]).returncode:
            failed.append(name)
    if failed:
        print(f"\nfailed, or short of what is wanted: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
