"""Fine-tuning with TRL's SFTTrainer on token ids and labels of our own. Runs in the child process."""

from __future__ import annotations

import gc
import json
import math
import resource
import shutil
import sys
from pathlib import Path
from typing import Any

from pipeline.config.experiment import TrainConfig
from pipeline.errors import DataError, DivergedError, StarError
from pipeline.training.adapters import save_adapter
from pipeline.training.checkpoints import copy_companions
from pipeline.training.events import Say
from pipeline.training.kernels import flash_attention
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
from pipeline.training.states import newest_intact, step_of
from pipeline.training.tracking import PROJECT
from pipeline.training.watch import Watch

SMALL_VOCABULARY = 4096
BYTES_OF_A_STATE = 16
"""Of a trained number: its weight and two moments in float32, and a third more to be on the safe side."""


def fine_tune(spec: TrainSpec, folder: Path, states: Path, say: Say) -> dict[str, Any]:
    """Train and write weights, config and tokenizer into `folder`; returns the facts of the run.

    Goes on from the newest intact state in `states`, where this training saves its own. Says `step` (step,
    loss, tokens so far, seconds) after each optimizer step and `held_out` (step, loss) after each
    measurement of held-out rows. Raises DataError for a bad row, DivergedError as `watch` says, and StarError
    where memory ran out: with the step and the remedy.
    """
    import torch

    torch.set_num_threads(spec.config.threads)
    states.mkdir(parents=True, exist_ok=True)
    rows = read_rows(spec.rows_path, spec.config.max_length)
    held_out = spec.held_out_path and read_rows(spec.held_out_path, spec.config.max_length)
    plan = planned_steps(spec.config, rows.num_rows, spec.round)
    lengths = [len(ids) for ids in rows.column("input_ids").to_pylist()]
    order = row_order(
        lengths,
        steps=plan.steps,
        batch_size=spec.config.batch_size,
        seed=spec.seed,
        window=spec.config.length_window,
    )
    trainer = _trainer(spec, plan, states, rows, order, held_out)
    for table in (rows, held_out) if held_out else (rows,):
        _check_ids(table, trainer.model)
    watch = Watch(spec.config, plan.steps, [lengths[row] for row in order], say)
    trainer.watch = watch
    _keep_states(trainer, spec, watch, say)
    trackers = _follow(trainer, spec, say)
    state = _state_to_go_on_from(states, watch, say)
    try:
        trainer.train(resume_from_checkpoint=state and str(state))
    except torch.OutOfMemoryError as error:
        raise StarError(_out_of_memory(spec.config, watch.step)) from error
    _save(trainer, spec, folder)
    trainer.accelerator.wait_for_everyone()
    return {
        "steps": watch.step,
        "epochs": watch.step * spec.config.batch_size / rows.num_rows,
        "tokens": watch.tokens,
        "new_tokens": watch.new_tokens,
        "resumed_step": step_of(state) if state else 0,
        "loss": watch.last_mean(),
        "step_seconds": watch.seconds,
        "first_step_seconds": watch.first_seconds,
        "peak_memory_mb": _peak_memory_mb(),
        "peak_gpu_memory_mb": _peak_gpu_memory_mb(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "versions": _versions(),
        **_held_out_facts(trainer.state),
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


def _state_to_go_on_from(states: Path, watch: Watch, say: Say) -> Path | None:
    """The newest intact state, with `watch` where it then was; later ones that are not intact are removed."""
    from pipeline.training.callbacks import WATCHED

    def pass_over(state: Path, problem: str) -> None:
        say("state_passed_over", problem=problem)
        shutil.rmtree(state)

    state = newest_intact(states, pass_over)
    if state is not None:
        watch.go_on_from(json.loads((state / WATCHED).read_text(encoding="utf-8")))
        say("resumed", step=step_of(state), tokens=watch.tokens)
    return state


def _keep_states(trainer: Any, spec: TrainSpec, watch: Watch, say: Say) -> None:
    """Have states saved; with held-out rows, have them measured, and stop when they no longer improve.

    Of several processes none saves: each would decide by its own clock when, and wait for the others.
    """
    if spec.config.launched:
        return
    from transformers import EarlyStoppingCallback

    from pipeline.training.callbacks import HeldOutLoss, StateKeeper

    numbers = sum(weight.numel() for weight in trainer.model.parameters())
    state_bytes = numbers * BYTES_OF_A_STATE
    trainer.add_callback(StateKeeper(spec.config.save_every, state_bytes, watch, say))
    if spec.held_out_path is not None:
        trainer.add_callback(HeldOutLoss(watch, say))
    if spec.config.patience is not None:
        trainer.add_callback(EarlyStoppingCallback(spec.config.patience))


def _held_out_facts(state: Any) -> dict[str, Any]:
    """The loss on held-out rows by step, and the step whose weights were kept."""
    losses = [[log["step"], log["eval_loss"]] for log in state.log_history if "eval_loss" in log]
    return {"held_out_losses": losses, "best_step": state.best_global_step} if losses else {}


def _trainer(
    spec: TrainSpec, plan: StepPlan, states: Path, rows: Any, order: list[int], held_out: Any
) -> Any:
    """The trainer: our rows in our order, padded by our collator, nothing printed."""
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

        def _get_grad_norm(self, *args: Any, **kwargs: Any) -> Any:
            norm = super()._get_grad_norm(*args, **kwargs)
            self.watch.gradient(float(norm))
            return norm

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
        args=_arguments(spec, plan, states),
        train_dataset=Dataset(rows).select(order),
        eval_dataset=held_out and Dataset(held_out),
        # Rows that are packed are laid end to end by TRL's own collator.
        data_collator=None if spec.config.packing else PadRight(spec.pad_id),
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


def _arguments(spec: TrainSpec, plan: StepPlan, states: Path) -> Any:
    import torch
    from trl.trainer.sft_config import SFTConfig

    config = spec.config
    return SFTConfig(
        output_dir=str(states),
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
        packing=False,  # TRL's would put other rows into a batch than the plan has
        padding_free=config.packing,
        use_liger_kernel=config.liger,
        train_sampling_strategy="sequential",
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        logging_strategy="steps" if spec.tracking else "no",
        logging_steps=1,
        logging_nan_inf_filter=False,
        run_name=spec.tracking.run if spec.tracking else None,
        project=PROJECT,
        # States are asked for by `StateKeeper`; besides, each that is the best so far on held-out rows.
        save_strategy="best" if spec.held_out_path else "no",
        restore_callback_states_from_checkpoint=True,
        **_measured(config, plan) if spec.held_out_path else {},
        report_to=[],  # the trackers that follow are added by `_follow`
        disable_tqdm=True,
    )


def _measured(config: TrainConfig, plan: StepPlan) -> dict[str, Any]:
    """Arguments of a training whose best weights on held-out rows are kept."""
    return {
        "eval_strategy": "steps",
        "eval_steps": config.evaluate_every or max(1, math.ceil(plan.steps / 10)),
        "per_device_eval_batch_size": micro_batch(config),
        "prediction_loss_only": True,
        "metric_for_best_model": "loss",
        "greater_is_better": False,
        "load_best_model_at_end": True,
    }


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
    attention = {"attn_implementation": flash_attention()} if spec.config.packing else {}
    return AutoModelForCausalLM.from_pretrained(
        spec.start_path, dtype=dtype, use_safetensors=True, **attention
    )


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
        raise DivergedError(
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
