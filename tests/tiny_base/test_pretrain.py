"""The pretraining loop: its schedule, its masking, its gradients."""

import pytest

from pipeline.tiny_base.column_corpus import WORDS
from pipeline.tiny_base.pretrain import IGNORED, Document, _accumulate, _pad, new_model, pretrain, rate_at
from pipeline.tiny_base.tokenizers import word_tokenizer
from tests.tiny_base.conftest import RecordingProgress, small_columns


def test_rate_rises_for_thirty_steps_and_falls_to_five_percent():
    rates = [rate_at(step, 450) for step in range(450)]
    assert rates[0] == pytest.approx(1 / 30)
    assert rates[29] == rates[30] == 1.0
    assert rates[30:] == sorted(rates[30:], reverse=True)
    assert rates[-1] == pytest.approx(0.05, abs=1e-3)


def test_rate_of_a_run_of_one_step_is_the_peak():
    assert rate_at(0, 1) == 1.0


def test_pad_labels_only_what_follows_the_prompt():
    ids, labels = _pad([Document([5, 6, 7, 8], scored=2), Document([5, 9], scored=1)])
    assert ids.tolist() == [[5, 6, 7, 8], [5, 9, 0, 0]]
    assert labels.tolist() == [[IGNORED, IGNORED, 7, 8], [IGNORED, 9, IGNORED, IGNORED]]


def test_accumulate_in_length_groups_gives_the_gradients_of_one_padded_batch():
    import torch
    from torch.nn.functional import cross_entropy

    config = small_columns()
    documents = [
        Document([3 + (row * 7 + i) % 40 for i in range(4 + row % 5)], scored=2 + row % 2) for row in range(9)
    ]
    model = new_model(config, word_tokenizer(WORDS, config.context))
    loss = _accumulate(model, documents)
    grouped = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    ids, labels = _pad(documents)
    whole = cross_entropy(model(input_ids=ids).logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    whole.backward()
    assert loss == pytest.approx(float(whole.detach()), rel=1e-5)
    for parameter, gradient in zip(model.parameters(), grouped, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-6)


def test_pretrain_learns_a_document_shown_over_and_over():
    config = small_columns(steps=80, learning_rate=0.02)
    model = new_model(config, word_tokenizer(WORDS, config.context))
    document = Document([3, 9, 12, 20, 31, 1], scored=4)
    before = _accumulate(model, [document])
    model.zero_grad()
    pretrain(model, lambda: document, config, RecordingProgress())
    assert _accumulate(model, [document]) < before / 10
