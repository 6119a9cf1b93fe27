"""Tiny random models, their prompts, and asking an engine for all of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.identity import seed_of
from pipeline.records import Completion, Request, Sampling

WORDS = [f"w{index}" for index in range(46)]
LINES = [
    "Q: Ann has 3 apples and buys 12 more. How many apples has she?",
    "A: 3 + 12 = 15. The answer is 15.\n",
    "Where do people read? (a) library (b) kitchen\nIn a library. Answer: (a)\n\n",
] * 20
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_model(folder: Path, tokenizer: Any, context: int, heads: int = 2) -> Path:
    """A random Llama of sharp preferences (wide weights), so that greedy choices are no coin tosses."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=heads,
        num_key_value_heads=1,
        intermediate_size=96,
        max_position_embeddings=context,
        tie_word_embeddings=False,
        initializer_range=0.25,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_words_model(folder: Path, config: Any) -> Path:
    """A random model of any architecture that reads the words of `word_tokenizer`."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(3)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    return folder


def word_tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    names = ["<eos>", "<pad>", "<unk>", *WORDS]
    backend = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<eos>", pad_token="<pad>", unk_token="<unk>"
    )


def byte_tokenizer(**options: Any) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(LINES, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>", **options)


def word_requests(count: int, *, lengths: Sequence[int] = (3, 4, 5, 9, 17), seed: int = 0) -> list[Request]:
    """Prompts of random words; lengths in turn, seeds all different."""
    import random

    draw = random.Random(seed)
    return [
        Request(
            f"r{i:04}",
            " ".join(draw.choices(WORDS, k=lengths[i % len(lengths)])),
            seed_of(seed, 1, "generated", "p", i),
        )
        for i in range(count)
    ]


def run_all(engine: Any, requests: Sequence[Request], sampling: Sampling) -> dict[str, Completion]:
    """All completions by request id; each request is answered exactly once."""
    answers: dict[str, Completion] = {}
    for done in engine.complete(engine.groups(requests), sampling):
        for completion in done:
            assert completion.request_id not in answers
            answers[completion.request_id] = completion
    assert set(answers) == {request.request_id for request in requests}
    return answers


def assert_same_completions(theirs: dict[str, Completion], ours: dict[str, Completion]) -> None:
    """Texts, ends and counts are equal, log-probabilities nearly so."""
    assert set(theirs) == set(ours)
    for key, completion in theirs.items():
        mine = ours[key]
        assert (completion.text, completion.finish_reason) == (mine.text, mine.finish_reason)
        assert (completion.prompt_tokens, completion.completion_tokens) == (
            mine.prompt_tokens,
            mine.completion_tokens,
        )
        assert completion.mean_logprob == pytest.approx(mine.mean_logprob, abs=1e-4)
