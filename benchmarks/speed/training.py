"""Our training child beside a bare `SFTTrainer`: `python -m benchmarks.speed.training`.

Both train the demo's base on the same rows, the gold solutions of its questions as token ids and labels, for
the same steps of 32 rows on one thread, in float32. Ours is the child of the stage with the demo's settings
(two passes of 16 to a step, its state saved each 10 minutes). The bare one is what TRL's documentation shows,
with its own collator and order, in passes of 32 and in the same passes of 16. Each side runs in a process of
its own, in turn. What is told is trained tokens, padding not counted, by the seconds of the training itself;
and, since a busy machine makes those long, by the processor seconds of the whole process, start-up included.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.speed.measuring import machine, table
from pipeline.config import ExperimentConfig, load_config
from pipeline.engines.tokenizer import load_tokenizer
from pipeline.paths import Home
from pipeline.problems import load_problems
from pipeline.progress import LogProgress
from pipeline.prompts import PromptBook
from pipeline.records import Split
from pipeline.stages.select import token_row
from pipeline.store.tables import write_rows
from pipeline.tiny_base import ensure_tiny_base
from pipeline.training import TrainSpec, train
from pipeline.training.environment import child_environment

CONFIG = "addition"
AGAINST = "bare SFTTrainer, passes of 32"
MARK = "measured: "


@dataclass(frozen=True)
class Trained:
    """Tokens trained, padding not counted, and the seconds that it took, start-up left out."""

    tokens: int
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.training")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1200)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--bare", nargs=4, metavar=("BASE", "ROWS", "STEPS", "PASS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        base, rows, steps, size = options.bare
        print(MARK + json.dumps(bare(Path(base), Path(rows), int(steps), int(size))))
        return
    with tempfile.TemporaryDirectory(prefix="star-training-") as folder:
        compare(Path(folder), options.rows, options.steps, options.repeat)


def compare(folder: Path, rows: int, steps: int, repeat: int) -> None:
    """Print the table."""
    config = load_config(Path(CONFIG)).config
    assert config.model.tiny is not None
    base = ensure_tiny_base(config.model.tiny, Home.from_environment().bases, LogProgress(every_s=60))
    path = write_gold_rows(config, base, folder / "rows.parquet", rows)
    outputs = (folder / f"trained-{turn}" for turn in range(repeat))
    sides: dict[str, Callable[[], Trained]] = {
        AGAINST: lambda: bare_apart(base, path, steps, 32),
        "bare SFTTrainer, passes of 16": lambda: bare_apart(base, path, steps, 16),
        "the train stage's child": lambda: ours(config, base, path, steps, next(outputs)),
    }
    by_wall: dict[str, list[float]] = {name: [] for name in sides}
    by_cpu: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeat):
        for name, side in sides.items():
            before = processor_seconds()
            trained = side()
            by_wall[name].append(trained.tokens / trained.seconds)
            by_cpu[name].append(trained.tokens / (processor_seconds() - before))
    print(
        f"{rows:,} rows, {steps} steps of 32, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"{machine('torch', 'transformers', 'trl')}\n"
    )
    print(table(by_wall, AGAINST, "trained tokens/s"))
    print()
    print(table(by_cpu, AGAINST, "trained tokens per CPU second, start-up included"))


def processor_seconds() -> float:
    """Of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def write_gold_rows(config: ExperimentConfig, base: Path, path: Path, rows: int) -> Path:
    """Training rows of the demo's first questions and their gold solutions."""
    tokenizer, book = load_tokenizer(base, chat=False), PromptBook(config.prompts, [], [], None)
    problems = (each for each in load_problems(config).problems if each.split is Split.TRAIN)
    made = (
        token_row(tokenizer, book.canonical(each).text, book.completion(each.solution or ""))
        for each in itertools.islice(problems, rows)
    )
    write_rows("training_inputs", path, ({"input_ids": ids, "labels": labels} for ids, labels in made))
    return path


def ours(config: ExperimentConfig, base: Path, rows: Path, steps: int, output: Path) -> Trained:
    """A training by the train stage's child."""
    settings = config.train.model_copy(update={"schedule": "steps", "steps": steps, "max_epochs": 1e6})
    pad_id = load_tokenizer(base, chat=False).pad_id
    spec = TrainSpec(base, rows, output, settings, round=1, seed=0, pad_id=pad_id)
    trained = train(spec, LogProgress(every_s=60))
    return Trained(trained.tokens, trained.step_seconds)


def bare_apart(base: Path, rows: Path, steps: int, size: int) -> Trained:
    """`bare` in a process of its own, in the environment of ours."""
    command = [sys.executable, "-m", "benchmarks.speed.training", "--bare", str(base), str(rows)]
    told = subprocess.run(
        [*command, str(steps), str(size)],
        capture_output=True,
        text=True,
        check=True,
        env=child_environment(1),
    ).stdout
    (line,) = (line for line in told.splitlines() if line.startswith(MARK))
    return Trained(**json.loads(line.removeprefix(MARK)))


def bare(base: Path, rows: Path, steps: int, size: int) -> dict[str, Any]:
    """Train as TRL's documentation shows, on rows that are tokenized already, `size` a pass and 32 a step."""
    import pyarrow.parquet as pq
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    torch.set_num_threads(1)
    seen = 0

    class Counting(SFTTrainer):
        def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal seen
            seen += int(inputs["attention_mask"].sum())
            return super().training_step(model, inputs, *args, **kwargs)

    arguments = SFTConfig(
        output_dir=str(rows.parent / "bare"),
        max_steps=steps,
        per_device_train_batch_size=size,
        gradient_accumulation_steps=32 // size,
        learning_rate=2e-3,
        lr_scheduler_type="cosine",
        warmup_steps=steps // 10,
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=True,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    trainer = Counting(
        model=AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
        args=arguments,
        train_dataset=Dataset(pq.read_table(rows)),
        processing_class=AutoTokenizer.from_pretrained(base),
    )
    started = time.perf_counter()
    trainer.train()
    return {"tokens": seen, "seconds": time.perf_counter() - started}


if __name__ == "__main__":
    main()
