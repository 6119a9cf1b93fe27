"""Fine-tuning with TRL's SFTTrainer on token ids and labels of our own. Runs in the child process."""

from __future__ import annotations

import gc
import math
import resource
import sys
import time
from pathlib import Path
from typing import Any

from pipeline.config.experiment import TrainConfig
from pipeline.errors import DataError, StarError
from pipeline.training.adapters import save_adapter
from pipeline.training.checkpoints import copy_companions
from pipeline.training.events import Say
from pipeline.training.plan import (
    StepPlan,
    micro_batch,
    passes_per_step,
    planned_steps,
    rate_schedule,
    row_order,
    warmup_steps,
)
from pipeline.training.processes import whole_model
from pipeline.training.rows import PadRight, read_rows
from pipeline.training.spec import TrainSpec
from pipeline.training.tracking import PROJECT

SMALL_VOCABULARY = 4096


def fine_tune(spec: TrainSpec, folder: Path, say: Say) -> dict[str, Any]:
    """Train and write weights, config and tokenizer into `folder`; returns the facts of the run.

    Says `step` (step, loss, tokens so far, seconds) after each optimizer step. Raises DataError for a bad row
    and StarError, with the step and the remedy, for a loss that is not finite or memory that ran out.
    """
    import torch

    torch.set_num_threads(spec.config.threads)
    rows = read_rows(spec.rows_path, spec.config.max_length)
    plan = planned_steps(spec.config, rows.num_rows, spec.round)
    lengths = [len(ids) for ids in rows.column("input_ids").to_pylist()]
    order = row_order(
        lengths,
        steps=plan.steps,
        batch_size=spec.config.batch_size,
        seed=spec.seed,
        window=spec.config.length_window,
    )
    trainer = _trainer(spec, plan, rows, order)
    _check_ids(rows, trainer.model)
    watch = Watch(spec.config, plan.steps, [lengths[row] for row in order], say)
    trainer.watch = watch
    trackers = _follow(trainer, spec, say)
    try:
        trainer.train()
    except torch.OutOfMemoryError as error:
        raise StarError(_out_of_memory(spec.config, watch.step)) from error
    _save(trainer, spec, folder)
    trainer.accelerator.wait_for_everyone()
    return {
        "steps": plan.steps,
        "epochs": plan.epochs,
        "tokens": watch.tokens,
        "loss": watch.last_mean(),
        "step_seconds": watch.seconds,
        "first_step_seconds": watch.first_seconds,
        "peak_memory_mb": _peak_memory_mb(),
        "peak_gpu_memory_mb": _peak_gpu_memory_mb(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "versions": _versions(),
        "lost_logs": {tracker.name: tracker.lost for tracker in trackers if tracker.lost},
    }


def import_libraries() -> None:
    """Import what a training needs with the garbage collector off: 5.5 s instead of 8.0 s of CPU time.

    The hundred thousands of objects that imports make all stay, so looking for garbage among them is in vain.
    """
    gc.disable()
    import trl.trainer.sft_trainer  # noqa: F401

    gc.freeze()
    gc.enable()


class Watch:
    """Follows the loss of each step; stops the training when it is not finite.

    `seconds` are those from the start to the end of the newest step, `first_seconds` to the end of the first.
    """

    def __init__(self, config: TrainConfig, steps: int, lengths: list[int], say: Say) -> None:
        self._config, self._lengths, self._say = config, lengths, say
        self._window = max(1, min(steps, max(10, steps // 10)))
        self._losses: list[float] = []
        self._micro_losses: list[float] = []
        self._started = time.monotonic()
        self.tokens = 0
        self.seconds = self.first_seconds = 0.0

    @property
    def step(self) -> int:
        """Optimizer steps finished."""
        return len(self._losses)

    def forward(self, loss: float) -> None:
        """One forward and backward pass of every process: its share of the step's mean loss per token."""
        batch = self._config.batch_size
        self._micro_losses.append(loss)
        if not math.isfinite(loss):
            now = self._config
            raise StarError(
                f"the training loss of step {self.step + 1} is {loss}; lower train.learning_rate (now "
                f"{now.learning_rate:g}) or train.max_grad_norm (now {now.max_grad_norm:g}), lengthen "
                f"train.warmup_ratio (now {now.warmup_ratio:g}), or set train.precision to float32"
            )
        if len(self._micro_losses) == passes_per_step(self._config):
            self._losses.append(sum(self._micro_losses))
            self._micro_losses.clear()
            self.tokens += sum(self._lengths[(self.step - 1) * batch : self.step * batch])
            self.seconds = round(time.monotonic() - self._started, 3)
            self.first_seconds = self.first_seconds or self.seconds
            self._say("step", step=self.step, loss=self._losses[-1], tokens=self.tokens, seconds=self.seconds)

    def last_mean(self) -> float:
        """Mean loss of the last tenth of the steps, at least ten of them where there are so many."""
        last = self._losses[-self._window :]
        return sum(last) / len(last)


def _trainer(spec: TrainSpec, plan: StepPlan, rows: Any, order: list[int]) -> Any:
    """The trainer: our rows in our order, padded by our collator, nothing saved or printed."""
    from datasets import Dataset
    from transformers import AutoTokenizer, Trainer
    from transformers.trainer_callback import PrinterCallback
    from trl.trainer.sft_trainer import SFTTrainer

    class RowsTrainer(SFTTrainer):
        watch: Watch

        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            loss = super().training_step(*args, **kwargs)
            self.watch.forward(float(self.accelerator.reduce(loss, reduction="mean")))
            return loss

        def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            # TRL goes over the vocabulary in chunks and adds entropies. That spares memory where the logits
            # are large; where they are small the model's own loss, the same number, is 10% faster.
            if self.model.config.get_text_config().vocab_size <= SMALL_VOCABULARY:
                return Trainer.compute_loss(self, model, inputs, *args, **kwargs)
            return super().compute_loss(model, inputs, *args, **kwargs)

        def floating_point_ops(self, inputs: Any) -> int:
            return 0  # an estimate that nobody reads, walked over all modules at each step

    trainer = RowsTrainer(
        model=_load(spec),
        args=_arguments(spec, plan),
        train_dataset=Dataset(rows).select(order),
        data_collator=PadRight(spec.pad_id),
        processing_class=AutoTokenizer.from_pretrained(spec.start_path),
        peft_config=_lora(spec.config),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _follow(trainer: Any, spec: TrainSpec, say: Say) -> list[Any]:
    """Let the trackers of the spec hear what the trainer logs."""
    if spec.tracking is None:
        return []
    from pipeline.training.trackers import guarded_trackers

    trackers = guarded_trackers(spec.tracking.report_to, say)
    for tracker in trackers:
        trainer.add_callback(tracker)
    return list(trackers)


def _arguments(spec: TrainSpec, plan: StepPlan) -> Any:
    import torch
    from trl.trainer.sft_config import SFTConfig

    config = spec.config
    return SFTConfig(
        output_dir=str(spec.output.parent),  # nothing is saved there: `save_strategy`
        max_steps=plan.steps,
        per_device_train_batch_size=micro_batch(config),
        gradient_accumulation_steps=passes_per_step(config),
        learning_rate=config.learning_rate,
        lr_scheduler_type=rate_schedule(config),
        warmup_steps=warmup_steps(config, plan.steps),
        weight_decay=config.weight_decay,
        adam_beta2=config.beta2,
        max_grad_norm=config.max_grad_norm,
        bf16=_in_bfloat16(config),
        gradient_checkpointing=config.gradient_checkpointing,
        seed=spec.seed % (1 << 32),  # numpy's limit
        data_seed=spec.seed % (1 << 32),
        use_cpu=not torch.cuda.is_available(),
        # The rows are ready: never tokenized, shuffled, packed or truncated again.
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        packing=False,
        train_sampling_strategy="sequential",
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        logging_strategy="steps" if spec.tracking else "no",
        logging_steps=1,
        logging_nan_inf_filter=False,
        run_name=spec.tracking.run if spec.tracking else None,
        project=PROJECT,
        save_strategy="no",
        report_to=[],  # the trackers that follow are added by `_follow`
        disable_tqdm=True,
    )


def _in_bfloat16(config: TrainConfig) -> bool:
    import torch

    return config.precision == "bfloat16" or (config.precision == "auto" and torch.cuda.is_available())


def _load(spec: TrainSpec) -> Any:
    """The start model.

    Trained weights are float32 whatever the precision of the arithmetic: at usual rates the steps are smaller
    than bfloat16 can add. Weights frozen under LoRA need no such care.
    """
    import torch
    from transformers import AutoModelForCausalLM

    frozen = spec.config.lora is not None and _in_bfloat16(spec.config)
    dtype = torch.bfloat16 if frozen else torch.float32
    return AutoModelForCausalLM.from_pretrained(spec.start_path, dtype=dtype, use_safetensors=True)


def _start_model(spec: TrainSpec) -> Any:
    """The model as it was before the first step, with its adapters, to take the trained weights."""
    model, lora = _load(spec), _lora(spec.config)
    if lora is None:
        return model
    from peft import get_peft_model

    return get_peft_model(model, lora)


def _lora(config: TrainConfig) -> Any:
    if config.lora is None:
        return None
    from peft import LoraConfig

    targets = config.lora.target_modules
    return LoraConfig(
        r=config.lora.r,
        lora_alpha=config.lora.alpha,
        lora_dropout=config.lora.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        task_type="CAUSAL_LM",
    )


def _check_ids(rows: Any, model: Any) -> None:
    """An id beyond the embedding would be a crash without a name deep in the model."""
    import pyarrow.compute as pc

    ids = pc.list_flatten(rows.column("input_ids"))
    size = model.get_input_embeddings().weight.shape[0]
    largest, least = pc.max(ids).as_py(), pc.min(ids).as_py()
    if largest >= size or least < 0:
        raise DataError(
            f"the training rows hold token ids from {least} to {largest}, but the start model embeds only "
            f"{size}; the rows were made with another tokenizer: run the select stage again"
        )


def _save(trainer: Any, spec: TrainSpec, folder: Path) -> None:
    """Merged weights in the start model's own precision, with its config and tokenizer unchanged.

    Or the adapter alone, with config and tokenizer of the start model beside it. Of several processes one
    writes.
    """
    import torch

    model = whole_model(trainer, spec.config, lambda: _start_model(spec))
    if model is None:
        return
    alone = spec.config.adapter_rank is not None
    if spec.config.lora is not None and not alone:
        model = model.float().merge_and_unload()
    if not all(torch.isfinite(weight).all() for weight in model.parameters()):
        raise StarError(
            f"after {trainer.state.global_step} steps some weights are not finite; lower train.learning_rate "
            f"(now {spec.config.learning_rate:g}) or set train.precision to float32"
        )
    if alone:
        save_adapter(model, folder, base_model=spec.lineage.get("base_model"))
    else:
        model.to(_stored_dtype(spec.start_path))
        model.save_pretrained(folder)
    copy_companions(spec.start_path, folder)


def _stored_dtype(path: Path) -> Any:
    """The precision in which the weights of a model folder are stored (of its first floating tensor)."""
    import torch
    from safetensors import safe_open

    names = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
    for file in sorted(path.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118 (not a mapping)
                if (stored := tensors.get_slice(key).get_dtype()) in names:
                    return names[stored]
    return torch.float32


def _out_of_memory(config: TrainConfig, step: int) -> str:
    return (
        f"memory ran out in training step {step + 1}; set train.micro_batch_size (now {micro_batch(config)}) "
        f"lower, train.gradient_checkpointing (now {str(config.gradient_checkpointing).lower()}) to true, "
        f"train.lora, or train.max_length (now {config.max_length}) lower"
    )


def _peak_memory_mb() -> float:
    """MiB of this process."""
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _peak_gpu_memory_mb() -> float | None:
    """MiB of this process's allocator; None without a GPU."""
    import torch

    return float(torch.cuda.max_memory_allocated()) / (1 << 20) if torch.cuda.is_available() else None


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("torch", "transformers", "trl", "accelerate", "peft")}
