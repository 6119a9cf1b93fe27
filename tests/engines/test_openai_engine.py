"""The openai engine against a local server that is slow, busy, broken, or says strange things."""

import shutil
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.engines import EngineConfig
from pipeline.endpoint import client_settings
from pipeline.engines import open_engine
from pipeline.engines.openai_engine import OpenAIEngine
from pipeline.errors import ConfigError, ServerError
from pipeline.progress import LogProgress
from pipeline.records import Completion, FinishReason, Request, Sampling
from tests.engines.endpoints import MODEL, Said, Server, written
from tests.engines.tiny_models import run_all, word_requests, word_tokenizer

REQUESTS = word_requests(40)
SAMPLING = Sampling(24, temperature=0.7, top_p=0.9, top_k=5, stop=("\n\n",))
SECRET = "sk-not-to-be-seen-anywhere"


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer and no weights: all that is read of `model.base` beside a server."""
    folder = tmp_path_factory.mktemp("tokenizer")
    word_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


def engine(
    folder: Path, server: Server, endpoint: dict[str, Any] | None = None, **settings: Any
) -> OpenAIEngine:
    asked = {"url": server.url, "model": MODEL, "backoff_s": 0.01, "timeout_s": 10, **(endpoint or {})}
    config = EngineConfig.model_validate({"kind": "openai", "endpoint": asked, **settings})
    opened = open_engine(config, folder, model_hash="hash", chat=False, progress=LogProgress())
    assert isinstance(opened, OpenAIEngine)
    return opened


def one(opened: OpenAIEngine, sampling: Sampling = SAMPLING) -> Completion:
    return run_all(opened, REQUESTS[:1], sampling)[REQUESTS[0].request_id]


def test_openai_sends_token_ids_and_every_sampling_field(tokenizer_folder: Path, server: Server) -> None:
    opened = engine(tokenizer_folder, server, {"further": {"priority": 3}})
    given = one(opened)
    assert (given.text, given.finish_reason, given.prompt_tokens, given.completion_tokens) == (
        "w1 w2",
        FinishReason.EOS,
        7,
        3,
    )
    [body] = server.asked
    assert body == {
        "model": MODEL,
        "prompt": opened.tokenizer.encode_prompt(REQUESTS[0].prompt),
        "n": 1,
        "stream": False,
        "seed": REQUESTS[0].seed,
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 5,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "max_tokens": 24,
        "min_tokens": 0,
        "ignore_eos": False,
        "stop": ["\n\n"],
        "stop_token_ids": sorted(opened.tokenizer.stop_ids),
        "skip_special_tokens": True,
        "logprobs": 0,
        "return_token_ids": True,
        "priority": 3,
    }
    assert (opened.kind, opened.device, opened.context, opened.model_hash) == ("openai", "none", 96, "hash")


@pytest.mark.parametrize(
    ("api", "path", "told"),
    [
        ("text", "/v1/completions", {"prompt": REQUESTS[0].prompt, "logprobs": 0}),
        ("chat", "/v1/chat/completions", {"messages": [{"role": "user", "content": REQUESTS[0].prompt}]}),
    ],
)
def test_openai_text_and_chat_have_the_fields_that_openai_documents(
    tokenizer_folder: Path, server: Server, api: str, path: str, told: dict[str, Any]
) -> None:
    server.answer = lambda body, before: written("w1 w2", message={"role": "assistant", "content": "w1 w2"})
    given = one(engine(tokenizer_folder, server, {"api": api}), replace(SAMPLING, top_k=0, stop=()))
    assert (given.text, server.paths) == ("w1 w2", [path])
    drawn = {"temperature": 0.7, "top_p": 0.9, "max_tokens": 24, "seed": REQUESTS[0].seed}
    none = {"presence_penalty": 0.0, "frequency_penalty": 0.0}
    assert server.asked == [{"model": MODEL, "n": 1, "stream": False, **drawn, **none, **told}]


@pytest.mark.parametrize(
    ("choice", "text", "reason", "tokens", "mean"),
    [
        ({"text": "w1"}, "w1", "eos", 3, None),
        ({"text": "w1", "stop_reason": "w9"}, "w1", "stop", 3, None),
        ({"text": "w1", "finish_reason": "length"}, "w1", "length", 3, None),
        ({"text": "w1", "finish_reason": "content_filter"}, "w1", "length", 3, None),
        ({"text": "w1\n\nw2", "finish_reason": "length"}, "w1", "stop", 3, None),
        ({"text": "?", "token_ids": [4, 5, 0]}, "w1 w2", "eos", 3, None),
        ({"text": "?", "token_ids": [4, 5]}, "w1 w2", "stop", 3, None),
        ({"text": "w1", "logprobs": {"token_logprobs": [-1.0, -2.0]}}, "w1", "eos", 3, -1.5),
        ({"text": "w1", "logprobs": {"content": [{"logprob": -0.5}]}}, "w1", "eos", 3, -0.5),
        ({"text": "half \ud83d"}, "half ?", "eos", 3, None),
    ],
)
def test_openai_answer_is_read_as_other_engines_write(
    tokenizer_folder: Path,
    server: Server,
    choice: dict[str, Any],
    text: str,
    reason: str,
    tokens: int,
    mean: float | None,
) -> None:
    server.answer = lambda body, before: written(**{"finish_reason": "stop", **choice})
    given = one(engine(tokenizer_folder, server))
    assert (given.text, given.finish_reason, given.completion_tokens, given.mean_logprob) == (
        text,
        FinishReason(reason),
        tokens,
        mean,
    )


@pytest.mark.parametrize("usage", [None, {}, {"completion_tokens": -1, "prompt_tokens": "7"}, [3]])
def test_openai_counts_tokens_itself_where_the_server_does_not(
    tokenizer_folder: Path, server: Server, usage: Any
) -> None:
    server.answer = lambda body, before: Said(
        {"choices": [{"text": "w1 w2 w3 w4", "finish_reason": "stop"}], "usage": usage}
    )
    given = one(engine(tokenizer_folder, server))
    assert (given.prompt_tokens, given.completion_tokens) == (3, 4)


@pytest.mark.parametrize(
    "failure",
    [
        Said(status=429),
        Said(status=500, body=b"<html>oops"),
        Said(status=503, body={"error": {"message": "overloaded"}}),
        Said(cut=True),
        Said(b"not json"),
        Said(b"[" * 100_000),
        Said({}),
        Said({"choices": []}),
        Said({"choices": [{"text": None, "finish_reason": "stop"}]}),
        Said({"choices": [{"text": "w1", "finish_reason": None}]}),
        Said({"choices": [{"text": "w1", "finish_reason": "stop", "token_ids": ["w1"]}]}),
    ],
)
def test_openai_asks_again_after_a_failure_and_loses_nothing(
    tokenizer_folder: Path, server: Server, failure: Said
) -> None:
    server.answer = lambda body, before: failure if before == 0 else written()
    given = run_all(engine(tokenizer_folder, server), REQUESTS, SAMPLING)
    assert {completion.text for completion in given.values()} == {"w1 w2"}
    assert set(Counter(str(body) for body in server.asked).values()) == {2}


def test_openai_obeys_retry_after_for_all_requests(tokenizer_folder: Path, server: Server) -> None:
    refused: list[float] = []
    asked: list[float] = []

    def busy_once(body: dict[str, Any], before: int) -> Said:
        asked.append(time.monotonic())
        if not refused:
            refused.append(asked[-1])
            return Said(status=429, headers={"Retry-After": "0.6"})
        return replace(written(), after_s=0.1)

    server.answer = busy_once
    run_all(engine(tokenizer_folder, server, batch_size=2), REQUESTS[:8], SAMPLING)
    # One request may have been on its way beside the refused one; everything else waited.
    assert sum(moment - refused[0] < 0.6 for moment in asked) <= 2
    assert len(asked) == 9


def test_openai_slow_answer_is_a_timeout_and_halves_what_is_on_its_way(
    tokenizer_folder: Path, server: Server
) -> None:
    server.answer = lambda body, before: replace(written(), after_s=2.0 if before == 0 else 0.0)
    opened = engine(tokenizer_folder, server, {"timeout_s": 0.5}, batch_size=8)
    run_all(opened, REQUESTS[:8], SAMPLING)
    assert opened._concurrency.limit < 8
    assert min(map(server.asked_for, server.asked)) >= 2


def test_openai_sends_more_at_once_while_the_server_keeps_up_but_never_more_than_asked_for(
    tokenizer_folder: Path, server: Server
) -> None:
    server.answer = lambda body, before: replace(written(), after_s=0.05)
    opened = engine(tokenizer_folder, server, batch_size=12)
    run_all(opened, word_requests(80), SAMPLING)
    assert 8 < server.most_at_once <= 12


def test_openai_that_gives_up_hands_on_what_is_written_and_says_what_to_do(
    tokenizer_folder: Path, server: Server
) -> None:
    broken = REQUESTS[20].seed
    server.answer = lambda body, before: (
        Said(status=503, body={"error": "\x1b[31mfull"}) if body["seed"] == broken else written()
    )
    opened = engine(tokenizer_folder, server, {"retries": 2}, flush_every=1000)
    handed: list[Completion] = []
    with pytest.raises(ServerError) as raised:
        for done in opened.complete(opened.groups(REQUESTS), SAMPLING):
            handed += done
    assert len(handed) >= 20 and REQUESTS[20].request_id not in {c.request_id for c in handed}
    assert "gave no completion in 3 tries, the last: busy_503; it said: full." in str(raised.value)
    assert sum(body["seed"] == broken for body in server.asked) == 3


def test_openai_refusal_is_told_with_the_words_of_the_server_and_not_repeated(
    tokenizer_folder: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMALL_KEY", SECRET)
    server.answer = lambda body, before: Said(
        status=400, body={"error": {"message": f"no field n; {SECRET}"}}
    )
    with pytest.raises(ServerError, match=r"refused_400; it said: no field n; \*\*\*") as raised:
        one(engine(tokenizer_folder, server, {"api_key_env": "SMALL_KEY"}))
    assert SECRET not in str(raised.value)
    assert len(server.asked) == 1
    assert server.keys == {f"Bearer {SECRET}"}


@pytest.mark.parametrize("where", ["models", "completion"])
def test_openai_refused_key_names_the_variable_and_never_the_key(
    tokenizer_folder: Path, server: Server, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setenv("SMALL_KEY", SECRET)
    refusal = Said(status=401, body={"error": {"message": f"Incorrect API key {SECRET}"}})
    server.answer = lambda body, before: refusal
    server.models = refusal if where == "models" else Said(status=404)
    with pytest.raises(ConfigError, match=r"refuses the key in SMALL_KEY \(status 401\)") as raised:
        one(engine(tokenizer_folder, server, {"api_key_env": "SMALL_KEY"}))
    assert SECRET not in str(raised.value)


def test_openai_key_that_no_header_can_hold_is_not_shown(
    tokenizer_folder: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMALL_KEY", f"{SECRET}\nX-Other: 1")
    with pytest.raises(ConfigError, match="the key in SMALL_KEY has characters that no key has") as raised:
        one(engine(tokenizer_folder, server, {"api_key_env": "SMALL_KEY"}))
    assert SECRET not in str(raised.value)
    monkeypatch.setenv("SMALL_KEY", f"{SECRET}\n")
    one(engine(tokenizer_folder, server, {"api_key_env": "SMALL_KEY"}))
    assert server.keys == {f"Bearer {SECRET}"}


def test_openai_key_that_is_not_set_is_told_before_anything_is_asked(
    tokenizer_folder: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SMALL_KEY", raising=False)
    with pytest.raises(ConfigError, match="export SMALL_KEY with the key of http://127.0.0.1"):
        engine(tokenizer_folder, server, {"api_key_env": "SMALL_KEY"})
    assert server.keys == set()


@pytest.mark.parametrize(
    "error",
    [
        {"message": "This model's maximum context length is 96 tokens.", "code": 400},
        {"message": "Please reduce the length.", "code": "context_length_exceeded"},
    ],
)
def test_openai_prompt_that_fills_the_context_is_no_failure(
    tokenizer_folder: Path, server: Server, error: dict[str, Any]
) -> None:
    server.answer = lambda body, before: Said(status=400, body={"error": error})
    server.models = Said(status=404)
    assert one(engine(tokenizer_folder, server)).finish_reason is FinishReason.PROMPT_TOO_LONG
    long = Request("long", " ".join(["w1"] * 96), 1)
    server.asked.clear()
    server.models = Said({"data": [{"id": MODEL, "max_model_len": 96}]})
    given = run_all(engine(tokenizer_folder, server), [long], SAMPLING)["long"]
    assert (given.finish_reason, given.prompt_tokens, server.asked) == (FinishReason.PROMPT_TOO_LONG, 96, [])


def test_openai_server_without_the_model_and_no_server_are_told_at_the_start(
    tokenizer_folder: Path, server: Server
) -> None:
    with pytest.raises(ConfigError, match=r"has no model 'large'; set engine.endpoint.model to one of small"):
        engine(tokenizer_folder, server, {"model": "large"})
    with pytest.raises(ServerError, match=r"http://127.0.0.1:9/v1 does not answer \(unreachable"):
        engine(tokenizer_folder, server, {"url": "http://127.0.0.1:9/v1"})


def test_openai_redirect_is_not_followed(tokenizer_folder: Path, server: Server) -> None:
    server.answer = lambda body, before: Said(status=302, headers={"Location": server.url})
    with pytest.raises(ServerError, match="refused_302"):
        one(engine(tokenizer_folder, server))
    assert len(server.asked) == 1


def test_openai_caller_that_leaves_breaks_off_what_is_on_its_way(
    tokenizer_folder: Path, server: Server
) -> None:
    all_there = threading.Barrier(8)
    fast = {request.seed for request in REQUESTS[:4]}

    def half_are_slow(body: dict[str, Any], before: int) -> Said:
        all_there.wait()
        return replace(written(), after_s=0.0 if body["seed"] in fast else 60.0)

    server.answer = half_are_slow
    opened = engine(tokenizer_folder, server, flush_every=4)
    answers = opened.complete(opened.groups(REQUESTS), SAMPLING)
    assert len(next(answers)) >= 4
    answers.close()
    assert server.at_once > 0


def test_openai_few_completions_of_a_slow_server_are_handed_on_in_time(
    tokenizer_folder: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.engines.openai_engine.FLUSH_AFTER_S", 0.05)
    server.answer = lambda body, before: replace(written(), after_s=0.1)
    opened = engine(tokenizer_folder, server, batch_size=2, flush_every=1000)
    lists = list(opened.complete(opened.groups(REQUESTS[:8]), SAMPLING))
    assert len(lists) >= 3
    assert sum(map(len, lists)) == 8


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_server_under_a_certificate_of_ones_own_is_reached_by_engine_and_judge_with_ssl_cert_file(
    tokenizer_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx2

    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subject = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    files = ("-keyout", str(key), "-out", str(certificate))
    new = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files)
    subprocess.run(new, check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    server = Server(tls)
    try:
        with pytest.raises(ServerError, match="CERTIFICATE_VERIFY_FAILED"):
            engine(tokenizer_folder, server)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert one(engine(tokenizer_folder, server)).text == "w1 w2"
        with httpx2.Client(**client_settings(None)) as judge:  # as pipeline/graders/endpoint.py asks
            assert judge.get(f"{server.url}/models").is_success
    finally:
        server.close()
