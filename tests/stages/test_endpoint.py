"""An experiment whose texts come from a server: what is stored, what is asked again, and no key anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.engines.weights import content_names
from pipeline.errors import ConfigError, ServerError
from pipeline.runner import run_experiment, run_stage
from tests.engines.endpoints import MODEL, Said, Server, written
from tests.stages.conftest import Lab, right

SECRET = "sk-not-to-be-seen-anywhere"


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    running.models = Said({"data": [{"id": MODEL}]})
    yield running
    running.close()


def settings(server: Server) -> list[str]:
    endpoint = f"{{url: '{server.url}', model: {MODEL}, api_key_env: SMALL_KEY, retries: 1, backoff_s: 0.01}}"
    return [f"engine={{kind: openai, endpoint: {endpoint}, flush_every: 1}}", "rounds=0"]


def answered(body: dict[str, object], before: int) -> Said:
    return written(f" {right(5)}")


def test_endpoint_writes_round_0_and_its_rows_name_it(
    lab: Lab, server: Server, tmp_path: Path, text_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMALL_KEY", SECRET)
    tokenizer = tmp_path / "tokenizer"
    tokenizer.mkdir()
    for name in content_names(text_base):
        if "safetensors" not in name:
            (tokenizer / name).write_bytes((text_base / name).read_bytes())
    server.answer = answered
    lab.run(*settings(server), f"model.base={tokenizer}")
    [(engine, writer, prompt_tokens, tokens, count)] = lab.rows(
        "select engine, model_hash, sum(prompt_tokens), sum(completion_tokens), count(*) from rationales group by all"
    )
    assert (engine, prompt_tokens, tokens, count) == ("openai", 4 * 7, 4 * 3, 4)
    assert writer.startswith(f"endpoint:{MODEL}@")
    assert lab.rows("select distinct base_hash from experiments") == [(writer,)]
    assert lab.rows("select outcome, count(*) from verdicts group by all order by all") == [
        ("correct", 1),
        ("wrong", 3),
    ]
    assert server.keys == {f"Bearer {SECRET}"}
    assert not [
        file for file in lab.folder.rglob("*") if file.is_file() and SECRET.encode() in file.read_bytes()
    ]


def test_endpoint_completion_that_was_flushed_is_never_asked_for_again(
    lab: Lab, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMALL_KEY", SECRET)
    broken: list[int] = []

    def one_is_refused(body: dict[str, object], before: int) -> Said:
        broken[:] = broken or [int(str(body["seed"]))]
        return (
            Said(status=500, body={"error": SECRET}) if body["seed"] == broken[0] else answered(body, before)
        )

    server.answer = one_is_refused
    with pytest.raises(
        ServerError, match=r"gave no completion in 2 tries, the last: busy_500; it said: \*\*\*"
    ):
        lab.run(*settings(server))
    assert lab.rows("select count(*) from rationales") == [(0,)]
    [(error,)] = lab.rows("select error from stage_runs where status = 'failed'")
    assert "busy_500" in error and SECRET not in error
    first = [body["seed"] for body in server.asked]
    server.asked.clear()
    server.answer = answered
    lab.run(*settings(server))
    assert len(first) == 5 and first.count(broken[0]) == 2
    assert [body["seed"] for body in server.asked] == broken
    assert lab.rows("select count(*), count(distinct seed) from rationales") == [(4, 4)]


def test_endpoint_of_others_is_not_trained(lab: Lab, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMALL_KEY", SECRET)
    server.answer = answered
    session = lab.session(settings(server))
    for run in (
        lambda: run_experiment(session, rounds=1),
        lambda: run_stage(session, "train", 1),
    ):
        with pytest.raises(ConfigError, match="training starts from weights"):
            run()
    assert server.asked == []


def test_endpoint_elsewhere_is_another_model(
    lab: Lab, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMALL_KEY", SECRET)
    server.answer = answered
    lab.run(*settings(server))
    with pytest.raises(
        ConfigError, match=r"engine.endpoint.url: 'http://127.0.0.1:\d+/v1', 'http://127.0.0.1:9/v1'"
    ):
        lab.session([*settings(server), "engine.endpoint.url=http://127.0.0.1:9/v1"])
