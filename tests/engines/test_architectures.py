"""Caches, masks and positions of other models than Llama: greedy texts equal those of generate."""

from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.errors import ModelLoadError
from pipeline.records import Request, Sampling
from tests.engines.conftest import OpenEngine
from tests.engines.tiny_models import WORDS, run_all, save_words_model, word_requests, word_tokenizer

VOCABULARY = len(word_tokenizer())
TOKENS = {"vocab_size": VOCABULARY, "bos_token_id": None, "eos_token_id": 0, "pad_token_id": 1}
SIZES = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "initializer_range": 0.25}
SHAPE = {**TOKENS, **SIZES, "num_key_value_heads": 1, "intermediate_size": 96, "max_position_embeddings": 96}


def config_of(name: str) -> Any:
    import transformers as t

    if name == "learned positions":
        return t.GPT2Config(**TOKENS, n_positions=96, n_embd=64, n_layer=2, n_head=2, initializer_range=0.25)
    if name == "positions counted from the mask":
        return t.OPTConfig(
            **{**TOKENS, "bos_token_id": 0},
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            ffn_dim=96,
            max_position_embeddings=96,
            word_embed_proj_dim=64,
            init_std=0.25,
        )
    if name == "alibi":
        return t.BloomConfig(**TOKENS, hidden_size=64, n_layer=2, n_head=2, initializer_range=0.25)
    if name == "sliding window":
        return t.MistralConfig(**SHAPE, sliding_window=8)
    if name == "sliding and full":
        layers = ["sliding_attention", "full_attention"]
        return t.Gemma3TextConfig(**SHAPE, head_dim=32, sliding_window=8, layer_types=layers)
    return t.Lfm2Config(**SHAPE, layer_types=["conv", "full_attention"])


@pytest.mark.parametrize(
    "name",
    [
        "learned positions",
        "positions counted from the mask",
        "alibi",
        "sliding window",
        "sliding and full",
        "recurrent and full",
    ],
)
def test_architecture_in_mixed_batches_equals_generate(
    name: str, tmp_path: Path, open_transformers: OpenEngine
) -> None:
    path = save_words_model(tmp_path / "model", config_of(name))
    engine = open_transformers(path, batch_size=16, max_model_len=90)
    shots = " ".join(WORDS[i % 9] for i in range(40))
    shared = [Request(f"s{r.request_id}", f"{shots} {r.prompt}", r.seed) for r in word_requests(8, seed=3)]
    requests = [*word_requests(16), *shared]
    answers = run_all(engine, requests, Sampling(16, temperature=0))
    for request in requests:
        ids = torch.tensor([engine.tokenizer.encode_prompt(request.prompt)])
        output = engine.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=16,
            pad_token_id=1,
            eos_token_id=0,
        )
        text = engine.tokenizer.decode(output[0, ids.shape[1] :].tolist())
        assert answers[request.request_id].text == text


def test_architecture_without_a_key_value_cache_is_refused(
    tmp_path: Path, open_transformers: OpenEngine
) -> None:
    from transformers import MambaConfig

    config = MambaConfig(**TOKENS, hidden_size=64, num_hidden_layers=2, state_size=8)
    path = save_words_model(tmp_path / "model", config)
    with pytest.raises(ModelLoadError, match=r"\(mamba\) does not take a key-value cache.*engine.kind: vllm"):
        open_transformers(path, max_model_len=64)
