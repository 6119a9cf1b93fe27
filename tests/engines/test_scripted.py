"""The scripted engine replays what it was given and says so."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.engines import EngineConfig
from pipeline.engines import open_engine
from pipeline.errors import ConfigError, DataError
from pipeline.progress import LogProgress
from pipeline.records import FinishReason, Request, Sampling
from tests.engines.tiny_models import run_all


def scripted(path: Path, *rows: dict[str, Any], **settings: Any) -> Any:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = EngineConfig(kind="scripted", script=str(path), **settings)
    return open_engine(config, path.parent, model_hash="hash", chat=False, progress=LogProgress())


def test_scripted_prefers_the_row_of_the_origin_and_counts_words(tmp_path: Path) -> None:
    engine = scripted(
        tmp_path / "script.jsonl",
        {"problem_id": "p1", "texts": ["any one", "any two words"]},
        {"problem_id": "p1", "origin": "rationalized", "texts": ["with hint"], "finish_reason": "length"},
    )
    requests = [Request(name, "a prompt of five words", 1) for name in ("a", "b", "c", "d", "e")]
    engine.keys = {
        "a": ("p1", "generated", 0),
        "b": ("p1", "generated", 1),
        "c": ("p1", "generated", 2),
        "d": ("p1", "rationalized", 5),
        "e": ("p2", "generated", 0),
    }
    answers = run_all(engine, requests, Sampling(8))
    assert [answers[k].text for k in "abcde"] == ["any one", "any two words", "any one", "with hint", ""]
    assert answers["d"].finish_reason is FinishReason.LENGTH
    assert answers["e"].finish_reason is FinishReason.EOS
    assert (answers["b"].prompt_tokens, answers["b"].completion_tokens) == (5, 3)
    assert (engine.kind, engine.model_hash, answers["a"].mean_logprob) == ("scripted", "hash", None)


def test_scripted_hands_on_lists_of_flush_every(tmp_path: Path) -> None:
    engine = scripted(tmp_path / "s.jsonl", {"problem_id": "p", "texts": ["x"]}, flush_every=3)
    requests = [Request(f"r{i}", "q", i) for i in range(7)]
    engine.keys = {r.request_id: ("p", "generated", 0) for r in requests}
    lists = list(engine.complete(engine.groups(requests), Sampling(8)))
    assert [len(done) for done in lists] == [3, 3, 1]


def test_scripted_that_is_told_of_nothing_more_hands_on_what_there_is(tmp_path: Path) -> None:
    engine = scripted(tmp_path / "s.jsonl", {"problem_id": "p", "texts": ["x"]}, flush_every=3)
    requests = [Request(f"r{i}", "q", i) for i in range(5)]
    engine.keys = {r.request_id: ("p", "generated", 0) for r in requests}
    groups = [(requests[0],), None, None, *((request,) for request in requests[1:])]
    lists = list(engine.complete(groups, Sampling(8)))
    assert [len(done) for done in lists] == [1, 0, 3, 1]


def test_scripted_asked_for_a_request_without_a_key_fails(tmp_path: Path) -> None:
    engine = scripted(tmp_path / "s.jsonl", {"problem_id": "p", "texts": ["x"]})
    with pytest.raises(DataError, match="request r0 is not in the keys"):
        list(engine.complete([(Request("r0", "q", 0),)], Sampling(8)))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{broken", "script.jsonl:2"),
        ('{"problem_id": "p", "texts": []}', "expected a list of one or more texts"),
        ('{"texts": ["x"]}', "problem_id"),
        ('{"problem_id": "p", "texts": ["x"], "finish_reason": "bored"}', "bored"),
        ('{"problem_id": "first", "texts": ["x"]}', "is there twice"),
    ],
)
def test_scripted_bad_row_names_file_and_line(tmp_path: Path, row: str, message: str) -> None:
    path = tmp_path / "script.jsonl"
    path.write_text('{"problem_id": "first", "texts": ["x"]}\n' + row + "\n")
    config = EngineConfig(kind="scripted", script=str(path))
    with pytest.raises(DataError, match="script.jsonl:2") as raised:
        open_engine(config, tmp_path, model_hash="h", chat=False, progress=LogProgress())
    assert message in str(raised.value)


def test_scripted_without_a_script_says_so(tmp_path: Path) -> None:
    for config, message in [
        (EngineConfig(kind="scripted"), "names no JSON Lines file"),
        (EngineConfig(kind="scripted", script=str(tmp_path / "absent.jsonl")), "no file at"),
    ]:
        with pytest.raises(ConfigError, match=message):
            open_engine(config, tmp_path, model_hash="h", chat=False, progress=LogProgress())
