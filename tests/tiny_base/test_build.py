"""ensure_tiny_base: a whole folder, made once, the same each time, loadable by the engines."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.config.tiny_base import TinyShape
from pipeline.engines.tokenizer import load_tokenizer
from pipeline.engines.weights import resolve_model
from pipeline.errors import DataError
from pipeline.identity import file_hash
from pipeline.records import Message
from pipeline.tiny_base import ensure_tiny_base, known_facts, pretrain_words, read_facts
from tests.tiny_base.conftest import SMALL, RecordingProgress, small_columns, small_text


def hashes(folder: Path) -> dict[str, str]:
    return {file.name: file_hash(file) for file in folder.iterdir()}


def test_base_of_columns_has_weights_tokenizer_generation_config_and_facts(columns_base):
    names = set(hashes(columns_base))
    assert {
        "model.safetensors",
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "facts.json",
    } <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl"))]
    assert json.loads((columns_base / "generation_config.json").read_text())["eos_token_id"] == 1


def test_base_asked_for_again_is_found_and_not_pretrained(columns_base, progress):
    before = hashes(columns_base)
    assert ensure_tiny_base(small_columns(), columns_base.parent, progress) == columns_base
    assert progress.tasks == []
    assert hashes(columns_base) == before


def test_base_made_twice_has_equal_bytes(columns_base, tmp_path, progress):
    again = ensure_tiny_base(small_columns(), tmp_path, progress)
    assert progress.tasks == ["pretraining the tiny base"]
    assert hashes(again) == hashes(columns_base)


def test_base_of_another_seed_is_another_folder_with_other_weights_and_facts(
    columns_base, tmp_path, progress
):
    other = ensure_tiny_base(small_columns(seed=1), tmp_path, progress)
    assert other.name != columns_base.name
    assert hashes(other)["model.safetensors"] != hashes(columns_base)["model.safetensors"]
    assert read_facts(other)[0] != read_facts(columns_base)[0]


def test_base_interrupted_in_the_middle_leaves_nothing_behind(tmp_path):
    class Interrupting(RecordingProgress):
        def task(self, title, total, unit=""):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensure_tiny_base(small_columns(), tmp_path, Interrupting())
    assert list(tmp_path.iterdir()) == []


def test_base_of_a_killed_process_is_removed_by_the_next_and_a_living_ones_is_left(tmp_path, progress):
    name = ensure_tiny_base(small_columns(steps=0), tmp_path / "scratch", progress).name
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    abandoned = tmp_path / f".{name}.tmp{dead.pid}"
    abandoned.mkdir()
    (abandoned / "config.json").write_text("{}")
    living = tmp_path / f".{name}.tmp1"
    living.mkdir()
    ensure_tiny_base(small_columns(steps=0), tmp_path, progress)
    assert not abandoned.exists()
    assert living.exists()


def test_base_keeps_the_threads_of_its_caller(tmp_path, progress):
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        ensure_tiny_base(small_columns(steps=0), tmp_path, progress)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_facts_beside_the_weights_tell_what_was_taught_and_what_the_probe_found(columns_base):
    known, probe = read_facts(columns_base)
    assert known == known_facts(small_columns())
    assert (probe.known, probe.unknown) == (40, 60)
    assert 0 <= probe.known_right <= 40
    assert f"{probe.known_right} of 40 taught" in probe.sentence


def test_facts_of_a_folder_without_them_are_none(tmp_path):
    assert read_facts(tmp_path) is None


def test_column_tokenizer_gives_back_the_words_and_pads_apart_from_the_end(columns_base):
    tokenizer = load_tokenizer(columns_base, chat=False)
    text = "Q: a 4 +9 Hint: a =3 A: a 4 +9 =3 c1 Ans: a =3"
    ids = tokenizer.encode_completion(text)
    assert len(ids) == len(text.split())
    assert tokenizer.decode(ids) == text
    assert tokenizer.end_id == 1
    assert tokenizer.pad_id not in (1, *ids)


def test_words_of_ones_own_become_a_base_that_model_base_can_name(tmp_path, progress):
    shape = TinyShape.model_validate({**SMALL, "steps": 2, "context": 32})
    pretrain_words(
        lambda: ("Q: Mon A:", "Tue"), ["Q:", "A:", "Mon", "Tue"], shape, tmp_path / "base", progress
    )
    tokenizer = load_tokenizer(resolve_model(str(tmp_path / "base"), None), chat=False)
    assert tokenizer.tokens(tokenizer.encode_prompt("Q: Mon A: Tue")) == ["Q:", "Mon", "A:", "Tue"]


def test_words_of_ones_own_that_are_not_listed_are_named(tmp_path, progress):
    shape = TinyShape.model_validate({**SMALL, "steps": 2, "context": 32})
    with pytest.raises(DataError, match="'Q: Mon A: Tue' has the word 'Tue', which is not among the 3 words"):
        pretrain_words(lambda: ("Q: Mon A:", "Tue"), ["Q:", "A:", "Mon"], shape, tmp_path / "base", progress)


def test_text_tokenizer_gives_back_any_text_byte_for_byte(text_base):
    tokenizer = load_tokenizer(text_base, chat=False)
    for text in ("Q: 3 + 4?\nA: 7\n#### 7", "  spaces\t\n\n", "naïve Größe 数学 🤖", "\x00\x7f"):
        assert tokenizer.decode(tokenizer.encode_completion(text)) == text


def test_text_tokenizer_pads_with_the_end_token_in_one_variant_only(text_base):
    tokenizer = load_tokenizer(text_base, chat=False)
    config = json.loads((text_base / "config.json").read_text())
    apart = tokenizer.pad_id != tokenizer.end_id
    assert apart == ("<pad>" in (text_base / "tokenizer.json").read_text())
    assert config["pad_token_id"] == tokenizer.pad_id
    assert config["vocab_size"] == tokenizer.size == 320


def test_text_tokenizer_chat_ends_turns_with_im_end(text_base):
    tokenizer = load_tokenizer(text_base, chat=True)
    rendered = tokenizer.render_chat([Message("system", "Be brief."), Message("user", "2 + 2?")])
    assert rendered == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert tokenizer.end_id == tokenizer.special_id("<|im_end|>")
    assert tokenizer.end_id != tokenizer.eos_id


def test_text_base_learns_the_look_of_its_corpus(tmp_path, progress):
    import torch
    from transformers import AutoModelForCausalLM

    losses = []
    for steps in (0, 60):
        config = small_text(steps=steps, width=32, vocabulary=512, learning_rate=0.01, context=192)
        folder = ensure_tiny_base(config, tmp_path, progress)
        tokenizer = load_tokenizer(folder, chat=False)
        prompt = tokenizer.encode_prompt("Q: Ana has 3 books and buys 4 more. How many books is that?\nA:")
        completion = tokenizer.encode_completion(" Ana had 3 books and bought 4. 3 + 4 = 7.\n#### 7")
        ids = torch.tensor([prompt + completion])
        labels = ids.clone()
        labels[:, : len(prompt)] = -100
        with torch.no_grad():
            losses.append(
                float(AutoModelForCausalLM.from_pretrained(folder)(input_ids=ids, labels=labels).loss)
            )
    assert losses[1] < losses[0] / 2, losses


@pytest.mark.slow
def test_base_made_by_two_processes_at_once_is_whole_and_the_same_for_both(tmp_path):
    code = (
        "import sys; from pathlib import Path; from pipeline.progress import LogProgress\n"
        "from tests.tiny_base.conftest import small_columns; from pipeline.tiny_base import ensure_tiny_base\n"
        "print(ensure_tiny_base(small_columns(), Path(sys.argv[1]), LogProgress()))"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    folders = {process.communicate(timeout=300)[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert [str(path) for path in tmp_path.iterdir()] == list(folders)
    assert read_facts(Path(folders.pop())) is not None
