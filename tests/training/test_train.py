"""Real trainings of a tiny model with TRL, in the child process and in this one."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config.experiment import LoraConfig
from pipeline.engines.weights import hash_model
from pipeline.errors import DataError, DivergedError, NotReadyError, StarError
from pipeline.training import TrainSpec, train
from pipeline.training.fine_tune import fine_tune
from tests.training.conftest import END_ID, RecordingProgress

Spec = Callable[..., TrainSpec]


def in_this_process(spec: TrainSpec) -> tuple[str, list[dict[str, Any]], dict[str, Any]]:
    """What the child does, without its start-up: content hash, step events, facts."""
    steps: list[dict[str, Any]] = []
    spec.output.mkdir(parents=True)
    facts = fine_tune(
        spec, spec.output, states_of(spec), lambda event, **fields: steps.append({"event": event, **fields})
    )
    return hash_model(spec.output), steps, facts


def states_of(spec: TrainSpec) -> Path:
    """Where `in_this_process` saves states."""
    return spec.output.with_name(f"states-of-{spec.output.name}")


def weights(path: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(path / "model.safetensors")


def test_train_in_a_child_learns_the_rule_and_publishes_a_loadable_checkpoint(
    spec_for: Spec, base: Path, rows: Path
):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    before = hash_model(base)
    spec = spec_for(steps=150, growth=1, learning_rate=1e-2, max_epochs=100)
    progress = RecordingProgress()
    result = train(spec, progress)

    assert result.path == spec.output
    assert result.steps == 150 and result.epochs == 150 * 8 / 48
    assert result.loss < 0.1
    lengths = [len(ids) for ids in pq.read_table(rows).column("input_ids").to_pylist()]
    assert result.tokens == sum(lengths) * 25
    assert hash_model(base) == before
    assert result.content_hash == hash_model(spec.output) != before
    assert result.versions["trl"] and result.peak_memory_mb > 50
    lineage = json.loads((spec.output / "lineage.json").read_text())
    assert lineage["parent_hash"] == "of the base"
    assert lineage["content_hash"] == result.content_hash
    assert [item.name for item in spec.output.parent.iterdir()] == [spec.output.name]

    # Loaded plainly it writes the word as often as asked and then ends: the end token was in the loss, though
    # it is also the padding.
    model = AutoModelForCausalLM.from_pretrained(spec.output)
    tokenizer = AutoTokenizer.from_pretrained(spec.output)
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == END_ID
    prompt = torch.tensor([[9, 4]])
    written = model.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=10, do_sample=False
    )
    assert written[0].tolist() == [9, 4, 9, 9, 9, END_ID]

    assert 0 < result.first_step_seconds < result.step_seconds < result.seconds

    # Asked for again it is taken as it is, and no step is; damaged, it is not.
    again = train(spec, progress)
    assert again == replace(result, step_seconds=0.0, first_step_seconds=0.0, new_tokens=0)
    assert "is there already" in progress.notes[-1]


def test_fine_tune_says_each_step_with_a_falling_loss(spec_for: Spec):
    _, steps, facts = in_this_process(spec_for(steps=40))
    assert [step["step"] for step in steps] == list(range(1, 41))
    assert steps[-1]["loss"] < steps[0]["loss"] - 0.5
    assert facts["loss"] == pytest.approx(sum(step["loss"] for step in steps[-10:]) / 10)
    assert facts["tokens"] == steps[-1]["tokens"]


def test_fine_tune_same_rows_and_seed_give_the_same_content_and_another_seed_another(spec_for: Spec):
    first, steps, _ = in_this_process(spec_for(output="first"))
    second, same_steps, _ = in_this_process(spec_for(output="second"))
    other, _, _ = in_this_process(spec_for(output="other", seed=1))
    assert first == second != other
    assert [step["loss"] for step in steps] == [step["loss"] for step in same_steps]


@pytest.mark.parametrize("small_vocabulary", [4096, 8])
def test_fine_tune_first_loss_is_the_mean_over_completion_and_end_tokens_only(
    spec_for: Spec, base: Path, rows: Path, monkeypatch: pytest.MonkeyPatch, small_vocabulary: int
):
    import torch
    from transformers import AutoModelForCausalLM

    import pipeline.training.fine_tune

    monkeypatch.setattr(pipeline.training.fine_tune, "SMALL_VOCABULARY", small_vocabulary)
    _, steps, _ = in_this_process(spec_for(steps=1, batch_size=48, micro_batch_size=7))
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    losses: list[float] = []
    for row in pq.read_table(rows).to_pylist():
        with torch.no_grad():
            scores = model(torch.tensor([row["input_ids"]])).logits[0].log_softmax(-1)
        losses += [
            -float(scores[place - 1, label]) for place, label in enumerate(row["labels"]) if label != -100
        ]
    assert steps[0]["loss"] == pytest.approx(sum(losses) / len(losses), abs=1e-5)


@pytest.mark.parametrize("setting", [{"micro_batch_size": 2}, {"gradient_checkpointing": True}])
def test_fine_tune_memory_savers_change_no_weight_beyond_rounding(spec_for: Spec, setting: dict[str, Any]):
    import torch

    plain, saving = spec_for(output="plain", steps=3), spec_for(output="saving", steps=3, **setting)
    in_this_process(plain)
    in_this_process(saving)
    expected, found = weights(plain.output), weights(saving.output)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-4, rtol=1e-3)


def test_fine_tune_lora_is_merged_into_weights_that_load_plainly(spec_for: Spec, base: Path):
    spec = spec_for(steps=20, lora=LoraConfig(r=4, alpha=8).model_dump(), learning_rate=2e-2)
    _, steps, _ = in_this_process(spec)
    assert steps[-1]["loss"] < steps[0]["loss"]
    start, merged = weights(base), weights(spec.output)
    assert merged.keys() == start.keys()
    assert {value.dtype for value in merged.values()} == {value.dtype for value in start.values()}
    changed = {name for name in start if not start[name].equal(merged[name])}
    assert any("q_proj" in name for name in changed)
    assert not any("norm" in name or "embed" in name for name in changed)
    assert sorted(item.name for item in spec.output.iterdir()) == sorted(item.name for item in base.iterdir())


def test_fine_tune_lora_without_a_merge_leaves_the_adapter_alone(spec_for: Spec, base: Path):
    lora = LoraConfig(r=4, alpha=8, merge=False).model_dump()
    spec = spec_for(steps=20, lora=lora, learning_rate=2e-2)
    _, steps, _ = in_this_process(spec)
    assert steps[-1]["loss"] < steps[0]["loss"]
    names = {item.name for item in spec.output.iterdir()}
    assert names == {item.name for item in base.iterdir()} - {"model.safetensors"} | {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    merged = spec_for(
        output="merged", steps=20, lora=LoraConfig(r=4, alpha=8).model_dump(), learning_rate=2e-2
    )
    assert spec.digest() != merged.digest()


def test_fine_tune_bfloat16_base_stays_bfloat16_on_disk(spec_for: Spec, base: Path, tmp_path: Path):
    import torch
    from transformers import AutoModelForCausalLM

    half = shutil.copytree(base, tmp_path / "half")
    AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16).save_pretrained(half)
    spec = spec_for(start=half, steps=2)
    in_this_process(spec)
    assert {value.dtype for value in weights(spec.output).values()} == {torch.bfloat16}
    assert (spec.output / "config.json").read_bytes() == (half / "config.json").read_bytes()


def test_fine_tune_loss_that_is_not_finite_names_the_step_and_the_remedy(spec_for: Spec):
    with pytest.raises(DivergedError, match=r"loss of step \d+ is (nan|inf); lower train\.learning_rate"):
        in_this_process(spec_for(learning_rate=1e38, warmup_ratio=0.0, max_grad_norm=1e30))


def test_fine_tune_rows_of_another_vocabulary_are_refused(spec_for: Spec, tmp_path: Path):
    foreign = tmp_path / "foreign.parquet"
    pq.write_table(pa.Table.from_pylist([{"input_ids": [5, 99, 1], "labels": [-100, 99, 1]}]), foreign)
    with pytest.raises(DataError, match=r"ids from 1 to 99, but the start model embeds only 16"):
        in_this_process(spec_for(data=foreign))


def test_train_incomplete_start_model_is_named_before_anything_runs(
    spec_for: Spec, base: Path, tmp_path: Path
):
    broken = shutil.copytree(base, tmp_path / "broken")
    (broken / "model.safetensors").unlink()
    spec = spec_for(start=broken)
    with pytest.raises(NotReadyError, match=r"model\.safetensors missing"):
        train(spec, RecordingProgress())
    assert not spec.output.parent.exists()


def test_train_bad_row_comes_back_as_the_same_error_and_leaves_no_checkpoint(spec_for: Spec, tmp_path: Path):
    bad = tmp_path / "bad.parquet"
    pq.write_table(pa.Table.from_pylist([{"input_ids": [5, 6, 1], "labels": [-100, 6, -100]}]), bad)
    spec = spec_for(data=bad)
    with pytest.raises(DataError, match="training row 0 .* is trained 0 times"):
        train(spec, RecordingProgress())
    assert list(spec.output.parent.iterdir()) == []


@pytest.mark.slow
def test_train_child_that_breaks_gives_the_end_of_what_it_said(spec_for: Spec, base: Path, tmp_path: Path):
    odd = shutil.copytree(base, tmp_path / "odd")
    config = json.loads((odd / "config.json").read_text())
    (odd / "config.json").write_text(json.dumps({**config, "model_type": "no_such_kind"}))
    spec = spec_for(start=odd)
    with pytest.raises(StarError, match=r"exit code 1(.|\n)*no_such_kind"):
        train(spec, RecordingProgress())
    assert list(spec.output.parent.iterdir()) == []


STARTER = """
import sys
from pathlib import Path
from pipeline.progress import LogProgress
from pipeline.training import TrainSpec, train
print(train(TrainSpec.from_json(Path(sys.argv[1]).read_text()), LogProgress(every_s=0)).content_hash)
"""


def train_elsewhere(spec: TrainSpec, folder: Path) -> subprocess.Popen[str]:
    """The training in another process, which says its steps on standard error."""
    path = folder / "spec.json"
    path.write_text(spec.to_json())
    return subprocess.Popen(
        [sys.executable, "-c", STARTER, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_train_killed_in_the_middle_leaves_no_checkpoint_and_the_next_start_goes_on_to_the_same_weights(
    spec_for: Spec, tmp_path: Path, number: signal.Signals
):
    spec = spec_for(steps=60, max_epochs=1000, save_every=1e-6)
    expected = train(replace(spec, output=tmp_path / "undisturbed"), RecordingProgress()).content_hash

    process = train_elsewhere(replace(spec, config=spec.config.model_copy(update={"threads": 1})), tmp_path)
    assert process.stderr is not None and process.stdout is not None
    try:
        while ": 25/60" not in (line := process.stderr.readline()):
            assert line, "the training ended before it could be killed"
        family = psutil.Process(process.pid).children(recursive=True)
        assert any("pipeline.training.child" in " ".join(member.cmdline()) for member in family)
        process.send_signal(number)
        process.wait(30)
    finally:
        process.kill()
        process.stdout.close()
        process.stderr.close()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []
    assert not spec.output.exists()

    progress = RecordingProgress()
    result = train(spec, progress)
    assert result.content_hash == expected
    assert result.resumed_step >= 20 and result.new_tokens < result.tokens
    assert f"training goes on after step {result.resumed_step}" in progress.notes
    assert [item.name for item in spec.output.parent.iterdir()] == [spec.output.name]


@pytest.mark.gpu
@pytest.mark.slow
def test_train_on_a_gpu_uses_bfloat16_and_names_the_device(spec_for: Spec):
    spec = spec_for(steps=60, gradient_checkpointing=True)
    result = train(spec, RecordingProgress())
    assert result.device != "cpu"
    assert result.loss < 2.0
    assert hash_model(spec.output) == result.content_hash
