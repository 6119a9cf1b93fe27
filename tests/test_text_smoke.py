"""The smoke experiment on text, with and without a chat template, padding that is the end token or another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.paths import Home
from tests.text_runs import TextRun

pytestmark = pytest.mark.slow

MAX_TOKENS = 64
VARIANTS = {"chat": (True, True), "chat-padded": (True, False), "plain": (False, True)}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """One home, so that the variants share their bases."""
    return Home(tmp_path_factory.mktemp("text") / "home")


def _prompt(problem: dict[str, Any], chat: bool) -> str:
    lines = [f"({key}) {text}" for key, text in problem["choices"].items()]
    question = "\n".join([problem["question"], "Answer Choices:", *lines])
    return (
        f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n" if chat else f"Q: {question}\nA:"
    )


@pytest.mark.parametrize("name", VARIANTS)
def test_text_smoke_end_token_is_in_the_loss_once_and_ends_texts(
    home: Home, repository: Path, name: str
) -> None:
    from transformers import AutoTokenizer

    chat, pad_is_eos = VARIANTS[name]
    settings = [f"model.tiny.pad_is_eos={str(pad_is_eos).lower()}", "rounds=1"]
    if not chat:
        question = '"Q: {question}\\nAnswer Choices:\\n{choices}\\nA:"'
        settings += [
            "prompts.chat=false",
            f"prompts.question={question}",
            f"prompts.hinted_question={question}",
        ]
    run = TextRun(home, repository / "configs" / "text-smoke.yaml", settings, name)
    assert run.run().startswith("the one round is done")

    [(path,)] = run.rows("select path from checkpoints where experiment = ?", name)
    tokenizer = AutoTokenizer.from_pretrained(home.absolute(path))
    assert (tokenizer.pad_token_id == tokenizer.eos_token_id) == pad_is_eos
    end = tokenizer.convert_tokens_to_ids("<|im_end|>") if chat else tokenizer.eos_token_id
    assert (end == tokenizer.eos_token_id) != chat
    problems = {problem["problem_id"]: problem for problem in run.problems("train")}
    rows = run.rows(
        "select problem_id, prompt, completion, input_ids, labels from training_rows where experiment = ?",
        name,
    )
    assert rows
    for key, prompt, completion, input_ids, labels in rows:
        assert prompt == _prompt(problems[key], chat)
        assert completion.startswith(" ") != chat
        assert tokenizer.decode(input_ids) == prompt + completion + tokenizer.decode([end])
        assert [label for label in labels if label != -100] == input_ids[labels.count(-100) :]
        assert labels.index(end) == len(labels) - 1
        assert chat or tokenizer.eos_token_id not in input_ids[:-1]

    texts = run.rows(
        "select finish_reason, text, completion_tokens from rationales where experiment = ? and round = 1",
        name,
    )
    ended = [text for reason, text, tokens in texts if reason == "eos" and tokens < MAX_TOKENS]
    assert len(ended) > len(texts) // 2
    assert not any(mark in text for text in ended for mark in ("<|im_", "<eos>", "<pad>"))
    measured = run.rows("select count(*) from evaluations where experiment = ? and round = 1", name)
    assert measured[0][0] > 0
