"""The transformers engine against the library's own generate, alone and in batches, and at every end."""

from collections import Counter
from pathlib import Path

import pytest
import torch

from pipeline.engines.stops import StopScan
from pipeline.engines.transformers_engine import TransformersEngine
from pipeline.errors import DataError, ModelLoadError
from pipeline.records import FinishReason, Request, Sampling
from tests.engines.conftest import OpenEngine
from tests.engines.tiny_models import WORDS, run_all, word_requests

GREEDY = Sampling(24, temperature=0)


def generated(engine: TransformersEngine, request: Request, max_tokens: int) -> str:
    """What the library's greedy generate writes for one prompt."""
    ids = torch.tensor([engine.tokenizer.encode_prompt(request.prompt)])
    output = engine.model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=max_tokens,
        pad_token_id=engine.tokenizer.pad_id,
        eos_token_id=sorted(engine.tokenizer.stop_ids),
    )
    return engine.tokenizer.decode(output[0, ids.shape[1] :].tolist())


@pytest.mark.parametrize("lengths", [(6,), (3, 4, 5, 9, 17)], ids=["one length", "mixed lengths"])
def test_engine_greedy_equals_generate(words_engine: TransformersEngine, lengths: tuple[int, ...]) -> None:
    requests = word_requests(40, lengths=lengths)
    answers = run_all(words_engine, requests, GREEDY)
    for request in requests:
        assert answers[request.request_id].text == generated(words_engine, request, 24)


def test_engine_greedy_of_long_shared_prefixes_equals_generate(words_engine: TransformersEngine) -> None:
    shots = " ".join(WORDS[i % 9] for i in range(40))
    requests = [
        Request(r.request_id, f"{shots} {r.prompt}", r.seed) for r in word_requests(20, lengths=(2, 3, 8))
    ]
    requests += [Request(f"{r.request_id}-again", r.prompt, r.seed) for r in requests[:9]]
    answers = run_all(words_engine, requests, GREEDY)
    for request in requests:
        assert answers[request.request_id].text == generated(words_engine, request, 24)


def test_engine_on_bytes_greedy_equals_generate(bytes_engine: TransformersEngine) -> None:
    texts = ["Q: Ann has 3 apples", "Where do", "A: 3 + 12 =", "déjà 🎈", "Q: Ann has 3 apples"]
    requests = [Request(f"r{i}", text, i) for i, text in enumerate(texts)]
    answers = run_all(bytes_engine, requests, GREEDY)
    for request in requests:
        assert answers[request.request_id].text == generated(bytes_engine, request, 24)


@pytest.mark.parametrize(
    "sampling", [GREEDY, Sampling(24), Sampling(24, temperature=0.7, top_p=0.9, top_k=9)]
)
def test_engine_writes_a_row_alone_as_in_a_batch(
    words_engine: TransformersEngine, sampling: Sampling
) -> None:
    requests = word_requests(30)
    together = run_all(words_engine, requests, sampling)
    for request in requests[::3]:
        ((alone,),) = words_engine.complete([(request,)], sampling)
        assert alone.text == together[request.request_id].text
        assert alone.mean_logprob == pytest.approx(together[request.request_id].mean_logprob, abs=1e-5)


def test_engine_samples_repeat_with_the_seed_and_differ_without(words_engine: TransformersEngine) -> None:
    prompt = "w1 w2 w3"
    requests = [Request(f"r{i}", prompt, seed) for i, seed in enumerate([5, 5, 6, 7, 8])]
    texts = [run_all(words_engine, requests, Sampling(24))[f"r{i}"].text for i in range(5)]
    assert texts[0] == texts[1]
    assert len(set(texts)) == 4


def test_engine_top_k_one_is_greedy(words_engine: TransformersEngine) -> None:
    requests = word_requests(10)
    greedy = run_all(words_engine, requests, GREEDY)
    narrow = run_all(words_engine, requests, Sampling(24, temperature=1.0, top_k=1))
    assert {k: c.text for k, c in narrow.items()} == {k: c.text for k, c in greedy.items()}


def test_engine_ends_at_eos_and_counts_it_but_does_not_write_it(words_engine: TransformersEngine) -> None:
    answers = run_all(words_engine, word_requests(80), Sampling(60, temperature=1.5))
    ended = [c for c in answers.values() if c.finish_reason is FinishReason.EOS]
    cut_off = [c for c in answers.values() if c.finish_reason is FinishReason.LENGTH]
    assert len(ended) >= 5 and len(cut_off) >= 5 and len(ended) + len(cut_off) == 80
    assert all("<" not in c.text for c in answers.values())
    assert all(len(c.text.split()) <= c.completion_tokens - 1 for c in ended)
    assert all(c.completion_tokens == 60 for c in cut_off)


def test_engine_mean_logprob_is_that_of_the_models_own_distribution(words_engine: TransformersEngine) -> None:
    requests = word_requests(20)
    answers = run_all(words_engine, requests, Sampling(12, temperature=0.8))
    # One that shows all of its tokens: no end token, no skipped special one.
    request = next(r for r in requests if len(answers[r.request_id].text.split()) == 12)
    answer = answers[request.request_id]
    prompt = words_engine.tokenizer.encode_prompt(request.prompt)
    written = words_engine.tokenizer.encode_completion(answer.text)
    with torch.inference_mode():
        logits = words_engine.model(torch.tensor([prompt + written])).logits[0, len(prompt) - 1 : -1]
    picked = logits.log_softmax(-1).gather(-1, torch.tensor(written)[:, None])
    assert answer.mean_logprob == pytest.approx(picked.mean().item(), abs=1e-5)


def test_engine_stops_at_a_stop_string_that_spans_words(words_engine: TransformersEngine) -> None:
    requests = word_requests(30)
    free = run_all(words_engine, requests, GREEDY)
    words = [tuple(c.text.split()[i : i + 2]) for c in free.values() for i in range(len(c.text.split()) - 1)]
    pair = " ".join(Counter(words).most_common(1)[0][0])
    stopped = run_all(words_engine, requests, Sampling(24, temperature=0, stop=(pair,)))
    assert any(c.finish_reason is FinishReason.STOP for c in stopped.values())
    for key, completion in stopped.items():
        if pair in free[key].text:
            assert completion.finish_reason is FinishReason.STOP
            assert completion.text == free[key].text.split(pair)[0]
            assert len((completion.text + pair).split()) <= completion.completion_tokens
            assert completion.completion_tokens <= free[key].completion_tokens
        else:
            assert (completion.text, completion.finish_reason) == (free[key].text, free[key].finish_reason)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_engine_on_bytes_stops_where_the_text_first_holds_the_stop(
    bytes_engine: TransformersEngine, length: int
) -> None:
    requests = [Request(f"r{i}", f"Q: {i} apples", i) for i in range(24)]
    free = run_all(bytes_engine, requests, Sampling(60, temperature=1.6))
    parts = Counter(c.text[i : i + length] for c in free.values() for i in range(len(c.text) - length + 1))
    stop = next(part for part, _ in parts.most_common() if "\ufffd" not in part)
    stopped = run_all(bytes_engine, requests, Sampling(60, temperature=1.6, stop=(stop, "never said")))
    held = [key for key, completion in free.items() if stop in completion.text]
    assert held
    for key, completion in stopped.items():
        if key in held:
            assert completion.text == free[key].text.split(stop)[0]
            assert completion.finish_reason is FinishReason.STOP
        else:
            assert completion.text == free[key].text
    assert sum(stopped[k].completion_tokens for k in held) < sum(free[k].completion_tokens for k in held)


def test_engine_stop_that_is_a_special_token_ends_by_its_id(bytes_engine: TransformersEngine) -> None:
    requests = [Request(f"r{i}", "Q: Ann", i) for i in range(60)]
    free = run_all(bytes_engine, requests, Sampling(60, temperature=2.0))
    ended = run_all(bytes_engine, requests, Sampling(60, temperature=2.0, stop=("<|im_end|>",)))
    reasons = Counter(c.finish_reason for c in ended.values())
    assert reasons[FinishReason.EOS] > sum(c.finish_reason is FinishReason.EOS for c in free.values())


def test_engine_with_chat_stops_at_the_end_of_turn(byte_model: Path, open_transformers: OpenEngine) -> None:
    plain = open_transformers(byte_model, batch_size=16)
    chat = open_transformers(byte_model, batch_size=16, chat=True)
    prompt = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    requests = [Request(f"r{i}", prompt, i) for i in range(60)]
    sampling = Sampling(60, temperature=2.0)
    in_plain = run_all(plain, requests, sampling)
    in_chat = run_all(chat, requests, sampling)
    assert in_chat["r0"].prompt_tokens == len(chat.tokenizer.encode_prompt(prompt))
    shorter = [k for k in in_chat if in_chat[k].completion_tokens < in_plain[k].completion_tokens]
    assert shorter and all(in_chat[k].finish_reason is FinishReason.EOS for k in shorter)


def test_engine_prompt_that_fills_the_context_is_told_and_the_rest_goes_on(
    words_engine: TransformersEngine,
) -> None:
    context = words_engine.context
    requests = [
        Request("fits", "w1 w2", 1),
        Request("one left", " ".join(["w1"] * (context - 1)), 2),
        Request("full", " ".join(["w1"] * context), 3),
        Request("over", " ".join(["w1"] * (context + 50)), 4),
    ]
    answers = run_all(words_engine, requests, Sampling(24, temperature=0))
    assert {key: c.finish_reason for key, c in answers.items() if c.completion_tokens == 0} == {
        "full": FinishReason.PROMPT_TOO_LONG,
        "over": FinishReason.PROMPT_TOO_LONG,
    }
    assert (answers["over"].text, answers["over"].mean_logprob) == ("", None)
    assert answers["over"].prompt_tokens == context + 50
    assert answers["one left"].completion_tokens == 1
    assert answers["fits"].completion_tokens == 24


def test_engine_max_model_len_bounds_prompt_and_completion_together(
    word_model: Path, open_transformers: OpenEngine
) -> None:
    engine = open_transformers(word_model, max_model_len=20)
    answers = run_all(engine, word_requests(10, lengths=(5, 12)), Sampling(60, temperature=0))
    assert all(c.prompt_tokens + c.completion_tokens <= 20 for c in answers.values())
    assert any(c.prompt_tokens + c.completion_tokens == 20 for c in answers.values())


def test_engine_asked_again_for_the_groups_that_are_missing_writes_the_same(
    word_model: Path, open_transformers: OpenEngine
) -> None:
    requests = word_requests(70)
    sampling = Sampling(24)
    whole = run_all(open_transformers(word_model, batch_size=16), requests, sampling)
    first = open_transformers(word_model, batch_size=16)
    killed_after = 2
    flushed = []
    for done in first.complete(first.groups(requests), sampling):
        flushed += done
        if len(flushed) >= 16 * killed_after:
            break
    first.close()
    again = open_transformers(word_model, batch_size=16)
    have = {completion.request_id for completion in flushed}
    missing = [g for g in again.groups(requests) if not all(r.request_id in have for r in g)]
    rest = [completion for done in again.complete(missing, sampling) for completion in done]
    assert have.isdisjoint(completion.request_id for completion in rest)
    both = {c.request_id: (c.text, c.mean_logprob) for c in [*flushed, *rest]}
    assert both == {key: (c.text, c.mean_logprob) for key, c in whole.items()}


def test_engine_refuses_an_empty_prompt(words_engine: TransformersEngine) -> None:
    with pytest.raises(DataError, match="request r0 has an empty prompt"):
        list(words_engine.complete([(Request("r0", "", 1),)], GREEDY))


def test_engine_of_no_requests_has_no_groups(words_engine: TransformersEngine) -> None:
    assert words_engine.groups([]) == []
    assert list(words_engine.complete([], GREEDY)) == []


def test_engine_of_a_damaged_model_names_the_path_and_what_was_tried(
    word_model: Path, tmp_path: Path, open_transformers: OpenEngine
) -> None:
    for file in word_model.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelLoadError, match=rf"cannot load the model in {tmp_path}.*safetensors only"):
        open_transformers(tmp_path)


def test_engine_says_who_it_is(words_engine: TransformersEngine) -> None:
    assert (words_engine.kind, words_engine.device, words_engine.model_hash) == (
        "transformers",
        "cpu",
        "hash",
    )
    assert set(words_engine.versions) == {"torch", "transformers"}


def test_stop_scan_looks_only_at_rows_that_are_still_running(words_engine: TransformersEngine) -> None:
    scan = StopScan(words_engine.tokenizer, ("w1 w2",))
    written = torch.tensor([words_engine.tokenizer.encode_completion("w0 w1 w2")] * 2)
    hits = scan.hits(written[:, -1], torch.tensor([True, False]), written)
    assert hits.tolist() == [True, False]
