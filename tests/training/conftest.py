"""A tiny random Llama with a word tokenizer, in two variants of padding, and rows to train it on."""

import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config.experiment import TrainConfig
from pipeline.progress import LogProgress
from pipeline.training import TrainSpec

END_ID = 1
WORDS = ["<pad>", "<end>", *(f"w{number}" for number in range(14))]


class RecordingProgress(LogProgress):
    """Keeps the notes that a training makes."""

    def __init__(self) -> None:
        super().__init__(every_s=3600)
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def build_model(folder: Path, *, pad_is_end: bool) -> Path:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<pad>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    pad = "<end>" if pad_is_end else "<pad>"
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token=pad, eos_token="<end>").save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=END_ID,
        pad_token_id=WORDS.index(pad),
    )
    with torch.random.fork_rng():
        torch.manual_seed(7)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Padding and end of sequence are one token, as in many released tokenizers."""
    return build_model(tmp_path_factory.mktemp("models") / "base", pad_is_end=True)


@pytest.fixture(scope="session")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 rows of one rule and many lengths: a word and a number, answered by the word so many times."""
    rng = random.Random(0)
    table = []
    for _ in range(48):
        word, times = rng.randrange(8, 16), rng.randrange(1, 7)
        prompt, completion = [word, times + 1], [word] * times + [END_ID]
        table.append({"input_ids": prompt + completion, "labels": [-100, -100, *completion]})
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(table), path)
    return path


@pytest.fixture
def spec_for(base: Path, rows: Path, tmp_path: Path) -> Callable[..., TrainSpec]:
    """A spec of a short training; config fields by keyword, `seed`, `start` and `output` too."""

    def make(
        *, seed: int = 0, start: Path = base, data: Path = rows, output: str = "trained", **config: object
    ) -> TrainSpec:
        settings = {"schedule": "steps", "steps": 6, "batch_size": 8, "learning_rate": 5e-3, **config}
        return TrainSpec(
            start_path=start,
            rows_path=data,
            output=tmp_path / "checkpoints" / output,
            config=TrainConfig.model_validate(settings),
            round=1,
            seed=seed,
            pad_id=END_ID,
            lineage={"parent_hash": "of the base"},
        )

    return make
