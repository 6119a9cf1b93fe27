"""The openai engine and vLLM's own server, for real, beside the transformers engine."""

import os
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import httpx2
import psutil
import pytest

from pipeline.config.engines import EndpointConfig, EngineConfig
from pipeline.engines.openai_api import Form
from pipeline.engines.openai_engine import OpenAIEngine
from pipeline.engines.transformers_engine import TransformersEngine
from pipeline.records import FinishReason, Request, Sampling
from tests.engines.tiny_models import WORDS, assert_same_completions, run_all, word_requests

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vllm is not installed"),
]

REQUESTS = word_requests(60)
GREEDY = Sampling(24, temperature=0)


@pytest.fixture(scope="module")
def served(word_model: Path) -> Iterator[OpenAIEngine]:
    """An engine whose server runs until the last test of this file."""
    config = EngineConfig(
        kind="openai",
        endpoint=EndpointConfig(serve=True),
        dtype="float32",
        enforce_eager=True,
        batch_size=16,
        flush_every=10,
    )
    engine = OpenAIEngine(config, word_model, model_hash="hash", chat=False)
    yield engine
    assert engine._served is not None
    below = psutil.Process().children(recursive=True)
    engine.close()
    engine.close()
    assert not psutil.wait_procs(below, timeout=10)[1]
    assert not engine._served.socket.parent.exists()


def test_served_greedy_equals_the_transformers_engine(
    served: OpenAIEngine, words_engine: TransformersEngine
) -> None:
    assert_same_completions(run_all(served, REQUESTS, GREEDY), run_all(words_engine, REQUESTS, GREEDY))


def test_served_stops_where_the_transformers_engine_stops(
    served: OpenAIEngine, words_engine: TransformersEngine
) -> None:
    sampling = Sampling(24, temperature=0, stop=(f"{WORDS[3]} {WORDS[7]}", *WORDS[10:13]))
    ours, theirs = run_all(words_engine, REQUESTS, sampling), run_all(served, REQUESTS, sampling)
    assert sum(completion.finish_reason is FinishReason.STOP for completion in theirs.values()) > 20
    assert {key: (c.text, c.finish_reason, c.completion_tokens) for key, c in theirs.items()} == {
        key: (c.text, c.finish_reason, c.completion_tokens) for key, c in ours.items()
    }


def test_served_text_is_cut_at_stops_beyond_those_that_a_server_takes(
    served: OpenAIEngine, words_engine: TransformersEngine
) -> None:
    sampling = Sampling(24, temperature=0, stop=tuple(WORDS[10:18]))
    ours, theirs = run_all(words_engine, REQUESTS, sampling), run_all(served, REQUESTS, sampling)
    assert {key: (c.text, c.finish_reason) for key, c in theirs.items()} == {
        key: (c.text, c.finish_reason) for key, c in ours.items()
    }


def test_served_samples_repeat_with_their_seeds_whatever_the_order(served: OpenAIEngine) -> None:
    first, again = run_all(served, REQUESTS, Sampling(24)), run_all(served, REQUESTS[::-1], Sampling(24))
    assert {key: c.text for key, c in first.items()} == {key: c.text for key, c in again.items()}
    assert len({c.text for c in first.values()}) > 50


def test_served_texts_end_at_eos_at_the_limit_or_before_they_begin(served: OpenAIEngine) -> None:
    full = [Request("over", " ".join(["w1"] * 96), 1), Request("one left", " ".join(["w1"] * 95), 2)]
    given = run_all(served, [*full, *REQUESTS], Sampling(60, temperature=1.5, top_p=0.98, top_k=40))
    reasons = Counter(completion.finish_reason for completion in given.values())
    assert reasons[FinishReason.EOS] >= 3 and reasons[FinishReason.LENGTH] >= 3
    assert given["over"].finish_reason is FinishReason.PROMPT_TOO_LONG
    assert given["one left"].completion_tokens == 1


def test_served_socket_is_for_this_user_only_and_says_what_it_runs_on(served: OpenAIEngine) -> None:
    assert served._served is not None
    assert os.stat(served._served.socket.parent).st_mode & 0o777 == 0o700
    assert (served.kind, served.context, served.model_hash) == ("openai", 96, "hash")
    assert set(served.versions) == {"vllm", "torch", "transformers"}


@pytest.mark.parametrize("api", ["tokens", "text"])
def test_served_answer_is_the_same_for_token_ids_and_text(served: OpenAIEngine, api: str) -> None:
    expected = run_all(served, REQUESTS[:6], GREEDY)
    endpoint = EndpointConfig.model_validate({"url": "http://vllm/v1", "model": "star", "api": api})
    form = Form(endpoint, "star", served.tokenizer, GREEDY)
    assert served._served is not None
    transport = httpx2.HTTPTransport(uds=str(served._served.socket))
    with httpx2.Client(base_url=served._served.url, transport=transport, timeout=60) as client:
        for request in REQUESTS[:6]:
            ids = served.tokenizer.encode_prompt(request.prompt)
            given = form.answer(client.post(form.path, json=form.body(request, ids, 24)).content, ids)
            mine = expected[request.request_id]
            assert (given.text.split(), given.finish_reason) == (mine.text.split(), mine.finish_reason)
            assert (given.prompt_tokens, given.completion_tokens) == (len(ids), mine.completion_tokens)
            assert given.mean_logprob == pytest.approx(mine.mean_logprob, abs=1e-4)
