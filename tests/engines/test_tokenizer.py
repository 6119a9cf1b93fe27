"""Special tokens: what a prompt gets, what ends a completion, what is skipped."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.engines.tokenizer import load_tokenizer
from pipeline.errors import ConfigError, ModelLoadError
from pipeline.records import Message
from tests.engines.tiny_models import CHATML, byte_tokenizer, word_tokenizer


def test_tokenizer_of_words_round_trips_and_skips_special_tokens(word_model: Path) -> None:
    tokenizer = load_tokenizer(word_model, chat=False)
    ids = tokenizer.encode_prompt("w1 w2  w3")
    assert tokenizer.tokens(ids) == ["w1", "w2", "w3"]
    assert tokenizer.decode([tokenizer.end_id, *ids, tokenizer.end_id]) == "w1 w2 w3"
    assert (tokenizer.end_id, tokenizer.pad_id, tokenizer.stop_ids) == (0, 1, frozenset({0}))
    assert tokenizer.pieces()[ids[0]] == "w1"


def test_tokenizer_of_bytes_keeps_every_space_and_pads_with_eos(byte_model: Path) -> None:
    tokenizer = load_tokenizer(byte_model, chat=False)
    text = "  3 + 12 = 15 .\n\n déjà vu 🎈 "
    assert tokenizer.decode(tokenizer.encode_completion(text)) == text
    assert tokenizer.pad_id == tokenizer.end_id == tokenizer.eos_id


def test_tokenizer_with_chat_ends_with_the_templates_end_of_turn(byte_model: Path) -> None:
    tokenizer = load_tokenizer(byte_model, chat=True)
    assert tokenizer.tokens([tokenizer.end_id]) == ["<|im_end|>"]
    assert tokenizer.stop_ids == {tokenizer.end_id, tokenizer.eos_id}
    rendered = tokenizer.render_chat([Message("system", "Be brief."), Message("user", "2 + 2?")])
    assert rendered == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n"
    )
    names = tokenizer.tokens(tokenizer.encode_prompt(rendered))
    assert names.count("<|im_start|>") == 3 and names.count("<|im_end|>") == 2


def test_tokenizer_with_a_template_that_writes_no_end_ends_with_eos(tmp_path: Path) -> None:
    made = byte_tokenizer()
    made.chat_template = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"
    made.save_pretrained(tmp_path)
    tokenizer = load_tokenizer(tmp_path, chat=True)
    assert tokenizer.end_id == tokenizer.eos_id


def test_tokenizer_that_appends_eos_gives_prompts_without_it_but_keeps_bos(tmp_path: Path) -> None:
    from tokenizers.processors import TemplateProcessing

    made = word_tokenizer()
    made.backend_tokenizer.post_processor = TemplateProcessing(
        single="<pad> $A <eos>", special_tokens=[("<pad>", 1), ("<eos>", 0)]
    )
    made.save_pretrained(tmp_path)
    tokenizer = load_tokenizer(tmp_path, chat=False)
    assert tokenizer.tokens(tokenizer.encode_prompt("w1 w2")) == ["<pad>", "w1", "w2"]
    assert tokenizer.tokens(tokenizer.encode_completion("w1 w2")) == ["w1", "w2"]


def test_tokenizer_stops_at_what_the_generation_config_names(tmp_path: Path) -> None:
    word_tokenizer().save_pretrained(tmp_path)
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, 7]}))
    assert load_tokenizer(tmp_path, chat=False).stop_ids == {0, 7}


def test_tokenizer_knows_stop_strings_that_are_special_tokens(byte_model: Path) -> None:
    tokenizer = load_tokenizer(byte_model, chat=False)
    turn = tokenizer.special_id("<|im_end|>")
    assert turn is not None and tokenizer.special_id("apples") is None
    assert tokenizer.stop_ids_with(("<|im_end|>", "\n\n")) == {tokenizer.eos_id, turn}


def test_tokenizer_without_eos_is_refused_with_the_remedy(tmp_path: Path) -> None:
    made = word_tokenizer()
    made.eos_token = None
    made.save_pretrained(tmp_path)
    with pytest.raises(ModelLoadError, match=r"names no end-of-sequence token.*set eos_token"):
        load_tokenizer(tmp_path, chat=False)


def test_tokenizer_without_a_template_is_refused_when_chat_is_asked(word_model: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no chat template; set prompts.chat: false"):
        load_tokenizer(word_model, chat=True)


def test_tokenizer_of_a_folder_without_files_says_what_it_found(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(
        ModelLoadError, match=r"cannot load a tokenizer from .*Found in the folder: notes.txt"
    ):
        load_tokenizer(tmp_path, chat=False)
    with pytest.raises(ModelLoadError, match="no model folder at"):
        load_tokenizer(tmp_path / "absent", chat=False)


def test_template_of_the_fixture_is_the_saved_one(byte_model: Path) -> None:
    assert (byte_model / "chat_template.jinja").read_text() == CHATML


@pytest.mark.parametrize("model", ["word_model", "byte_model"])
def test_tokenizer_of_the_plain_class_is_that_of_auto_tokenizer_and_needs_no_torch(
    model: str, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(model)
    from transformers import AutoTokenizer

    theirs, ours = AutoTokenizer.from_pretrained(path), load_tokenizer(path, chat=False)
    assert type(ours._backend) is type(theirs)
    assert ours.encode_prompt("w1 w2 w3") == theirs("w1 w2 w3")["input_ids"]
    code = (
        "import sys; from pathlib import Path; from pipeline.engines.tokenizer import load_tokenizer; "
        "load_tokenizer(Path(sys.argv[1]), chat=False); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
