"""What a config says of a server that writes: its URL, its key by name, and which rounds it can have."""

from typing import Any

import pytest

from pipeline.config import ExperimentConfig
from pipeline.config.engines import EngineConfig
from pipeline.config.load import validate, validate_as
from pipeline.config.servers import checked_url
from pipeline.config.triggerable import triggerable_fields
from pipeline.errors import ConfigError

URL = "https://models.example.org/v1"


def engine(**endpoint: Any) -> EngineConfig:
    data = {"kind": "openai", "endpoint": endpoint}
    return validate_as(EngineConfig, data, "test", schema="star config --schema")


def experiment(engine: dict[str, Any], **further: Any) -> ExperimentConfig:
    data = {
        "model": {"base": "base"},
        "problems": {"sources": {"train": {"kind": "jsonl", "path": "train.jsonl"}}},
        "verify": {"grader": {"type": "numeric"}},
        "engine": engine,
        **further,
    }
    return validate(data, source="test")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000/v1", "https://models.example.org/v1/", "http://[::1]:80", "http://host"]
)
def test_url_of_a_server_is_taken(url: str) -> None:
    assert checked_url(url) == url


@pytest.mark.parametrize(
    "url",
    ["", "host/v1", "ftp://host", "file:///etc/passwd", "http://", "http://host:99999", "http://a b", "http://h\n/v1"],
)  # fmt: skip
def test_url_that_is_none_is_refused_with_its_value(url: str) -> None:
    with pytest.raises(ConfigError, match="is not of the form") as raised:
        engine(url=url, model="m")
    assert repr(url) in str(raised.value)


@pytest.mark.parametrize(
    "url", ["http://user:hidden@host/v1", "http://hidden@host", "http://host/v1?key=hidden", "http://host#hidden",
            "ftp://user:hidden@host", "http://user:hidden@host:x"],
)  # fmt: skip
def test_url_with_a_secret_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigError) as raised:
        engine(url=url, model="m")
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        ({}, "set one of engine.endpoint.serve"),
        ({"serve": True, "url": URL, "model": "m"}, "set one of engine.endpoint.serve"),
        ({"url": URL}, "set both or neither"),
        ({"serve": True, "model": "m"}, "set both or neither"),
        ({"serve": True, "api": "chat"}, "drop api and api_key_env"),
        ({"url": URL, "model": "m", "further": {"seed": 1}}, "seed is set from the rest of the config"),
    ],
)
def test_endpoint_that_makes_no_sense_is_refused(endpoint: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        engine(**endpoint)


def test_key_in_place_of_the_name_of_its_variable_is_refused_and_not_shown() -> None:
    judge = {"type": "score_model", "model": "m", "input": [{"role": "user", "content": "x"}]}
    for make in (
        lambda: engine(url=URL, model="m", api_key_env="sk-hidden"),
        lambda: experiment({}, verify={"grader": {**judge, "api_key_env": "sk-hidden"}}),
    ):
        with pytest.raises(ConfigError, match="export the key in one and give its name") as raised:
            make()
        assert "hidden" not in str(raised.value)


def test_engine_openai_needs_an_endpoint_and_no_other_engine_has_one() -> None:
    for data in ({"kind": "openai"}, {"kind": "vllm", "endpoint": {"serve": True}}):
        with pytest.raises(ConfigError, match="engine.kind is openai exactly when"):
            experiment(data)


def test_endpoint_model_hash_names_the_model_and_the_url_by_its_digest() -> None:
    first = engine(url=URL, model="large").foreign_hash
    assert (
        first is not None
        and first.startswith("endpoint:large@")
        and len(first) == len("endpoint:large@") + 12
    )
    assert engine(url=f"{URL}/", model="large", retries=1).foreign_hash == first
    assert engine(url="http://127.0.0.1:8000/v1", model="large").foreign_hash != first
    assert engine(serve=True).foreign_hash is None


def test_rounds_with_a_server_of_others_are_refused_and_round_0_is_not() -> None:
    foreign = {"kind": "openai", "endpoint": {"url": URL, "model": "m"}}
    with pytest.raises(ConfigError, match=r"rounds is 3, but engine.endpoint.url.*Set rounds: 0"):
        experiment(foreign)
    measured = experiment(foreign, rounds=0)
    with pytest.raises(ConfigError, match="rounds is 2"):
        measured.check_rounds(2)
    assert experiment({"kind": "openai", "endpoint": {"serve": True}}).rounds == 3


def test_chat_templates_are_sent_as_token_ids_only() -> None:
    foreign = {"kind": "openai", "endpoint": {"url": URL, "model": "m", "api": "chat"}}
    with pytest.raises(ConfigError, match="prompts.chat renders special tokens"):
        experiment(foreign, rounds=0, prompts={"chat": True})


def test_judge_asks_an_endpoint_by_base_url_and_not_by_an_openai_engine() -> None:
    judge = {"type": "score_model", "model": "m", "input": [{"role": "user", "content": "x"}]}
    with pytest.raises(ConfigError, match="is no engine of a judge"):
        experiment(
            {}, verify={"grader": {**judge, "engine": {"kind": "openai", "endpoint": {"serve": True}}}}
        )
    with pytest.raises(ConfigError) as raised:
        experiment({}, verify={"grader": {**judge, "base_url": "http://user:hidden@host/v1"}})
    assert "hidden" not in str(raised.value)


def test_endpoint_cannot_be_set_from_the_trigger_form() -> None:
    assert not [key for key in triggerable_fields() if "endpoint" in key or key.startswith("engine")]
