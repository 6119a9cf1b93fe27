"""What was exported, read by `datasets` without a network and trained on by TRL's own trainers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.export import Layout, export_preferences, export_problems, export_training
from pipeline.store import Store
from tests.export.conftest import MANY

CHAT_TEMPLATE = (
    "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)

pytestmark = pytest.mark.slow  # TRL is imported in this process
Load = Callable[..., Any]


@pytest.fixture
def loaded(many: Store, tmp_path: Path) -> Load:
    """Exports something and gives it as `datasets` reads it."""

    def load(export: Callable[..., Any], *arguments: Any, chat: bool) -> Any:
        import datasets

        counts = export(many, MANY, *arguments, tmp_path / "out", Layout(chat=chat))
        rows = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"), split="train")
        assert len(rows) == counts.rows > 0
        return rows

    return load


@pytest.fixture
def setting(text_base: Path, tmp_path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What every trainer is given, and what its config is."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(text_base)
    tokenizer.chat_template = CHAT_TEMPLATE
    model = AutoModelForCausalLM.from_pretrained(text_base)
    config = {"output_dir": str(tmp_path / "trained"), "max_steps": 1, "per_device_train_batch_size": 2}
    config |= {"report_to": [], "use_cpu": True, "bf16": False, "save_strategy": "no", "disable_tqdm": True}
    return {"model": model, "processing_class": tokenizer}, config


@pytest.mark.parametrize("chat", [False, True])
def test_sft_trainer_trains_on_training_rows(loaded: Load, setting: Any, chat: bool) -> None:
    from trl import SFTConfig, SFTTrainer
    from trl.data_utils import is_conversational

    rows = loaded(export_training, 1, chat=chat)
    assert is_conversational(rows[0]) == chat
    trainer = SFTTrainer(**setting[0], args=SFTConfig(**setting[1]), train_dataset=rows)
    trainer.train()
    assert trainer.state.global_step == 1
    tokenizer = setting[0]["processing_class"]
    if not chat:
        wanted = (rows[0]["prompt"], rows[0]["completion"])
        assert tokenizer.decode(trainer.train_dataset[0]["input_ids"]).startswith("".join(wanted))


@pytest.mark.parametrize("chat", [False, True])
def test_dpo_trainer_trains_on_preference_pairs(loaded: Load, setting: Any, chat: bool) -> None:
    from trl import DPOConfig, DPOTrainer
    from trl.data_utils import is_conversational

    rows = loaded(export_preferences, 1, chat=chat)
    assert is_conversational(rows[0]) == chat
    trainer = DPOTrainer(**setting[0], args=DPOConfig(**setting[1]), train_dataset=rows)
    trainer.train()
    assert trainer.state.global_step == 1
    (first, *_) = trainer.train_dataset
    said = setting[0]["processing_class"].decode(first["rejected_ids"])
    wanted = rows[0]["rejected"][0]["content"] if chat else rows[0]["rejected"]
    assert wanted in said


@pytest.mark.parametrize("chat", [False, True])
def test_grpo_trainer_asks_the_problems_and_rewards_by_their_answers(
    loaded: Load, setting: Any, chat: bool
) -> None:
    from trl import GRPOConfig, GRPOTrainer

    rows = loaded(export_problems, chat=chat)
    asked: list[tuple[Any, str]] = []

    def reward(prompts: list[Any], completions: list[Any], answer: list[str], **_: Any) -> list[float]:
        asked.extend(zip(prompts, answer, strict=True))
        return [float(index) for index, _ in enumerate(completions)]

    config = GRPOConfig(**setting[1], num_generations=2, max_completion_length=4)
    GRPOTrainer(**setting[0], args=config, train_dataset=rows, reward_funcs=reward).train()
    known = [(row["prompt"], row["answer"]) for row in rows]
    assert asked and all(pair in known for pair in asked)
