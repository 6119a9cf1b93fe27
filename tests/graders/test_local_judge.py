"""`score_model` and `label_model` by an engine of their own: a tiny real model, and scripted votes."""

import json
import os
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.errors import ConfigError, ModelLoadError, StarError
from pipeline.graders import Grading, grader_digest, open_grading, parse_config
from pipeline.records import GradeItem, Outcome, Verdict
from tests.engines.tiny_models import CHATML, byte_tokenizer, make_model

VOTE = '{"score": 0.75}'
RUBRIC = [{"role": "user", "content": "Question: {{item.question}}\nText: {{sample.output_text}}"}]


def make_judge(folder: Path, vote: str) -> Path:
    """A real Llama that writes one token, `vote`, after whatever it is asked, and then its end token.

    Its layers add nothing, every embedding but that of the vote is one vector, and the head sends this vector to
    the vote and the vote's own to the end.
    """
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer = byte_tokenizer()
    tokenizer.chat_template = CHATML
    tokenizer.add_tokens([vote])
    make_model(folder, tokenizer, context=2048)
    model = AutoModelForCausalLM.from_pretrained(folder)
    said, end = tokenizer.convert_tokens_to_ids(vote), tokenizer.eos_token_id
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.zero_()
        model.model.embed_tokens.weight[:, 0] = 1.0
        model.model.embed_tokens.weight[said, :2] = torch.tensor([0.0, 1.0])
        model.lm_head.weight.zero_()
        model.lm_head.weight[said, 0] = model.lm_head.weight[end, 1] = 1.0
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def judge_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_judge(tmp_path_factory.mktemp("judge") / "model", VOTE)


def local(model: Path | str, **options: Any) -> dict[str, Any]:
    engine = {"kind": "transformers", "device": "cpu"}
    return {
        "type": "score_model",
        "model": str(model),
        "engine": engine,
        "input": RUBRIC,
        "retries": 0,
        **options,
    }


def scripted(folder: Path, texts: list[str], **options: Any) -> dict[str, Any]:
    script = folder / "votes.jsonl"
    script.write_text(json.dumps({"problem_id": "judge", "texts": texts}) + "\n")
    return local("scripted", engine={"kind": "scripted", "script": str(script)}, **options)


def item(key: str = "x", answer: str = "", response: str = "a text") -> GradeItem:
    return GradeItem(key=key, answer=answer, response=response, question="How many?")


def one(config: dict[str, Any], what: GradeItem | None = None) -> Verdict:
    with open_grading(parse_config(config), 1) as grading:
        [verdict] = grading.grade([what or item()])
    return verdict


def serving() -> list[psutil.Process]:
    below = psutil.Process().children(recursive=True)
    return [one for one in below if "pipeline.graders.judge_server" in one.cmdline()[:4]]


def test_local_judge_of_a_real_model_is_opened_once_scores_and_counts_tokens(judge_model: Path) -> None:
    items = [item(str(n), response=f"text {n}") for n in range(12)]
    with open_grading(parse_config(local(judge_model, pass_threshold=0.7)), 3) as grading:
        assert serving() == []
        verdicts = list(grading.grade(items))
        [model] = serving()
        assert model.pid not in grading.processes
        [too_long] = grading.grade([item("long", response="a long text " * 600)])
    assert not model.is_running()
    assert [(v.key, v.outcome, v.score, v.reason) for v in verdicts] == [
        (str(n), Outcome.CORRECT, 0.75, "judged") for n in range(12)
    ]
    for verdict in verdicts:
        assert {name: verdict.subscores[name] for name in ("calls", "votes", "completion_tokens")} == {
            "calls": 1.0, "votes": 1.0, "completion_tokens": 2.0,
        }  # fmt: skip
        assert verdict.subscores["prompt_tokens"] > 50
    assert (too_long.outcome, too_long.reason) == (Outcome.UNGRADED, "judge_refused_413")


@pytest.mark.slow
def test_local_judge_whose_text_is_no_vote_is_ungraded(tmp_path: Path) -> None:
    model = make_judge(tmp_path / "model", "I would say 1")
    verdict = one(local(model))
    assert (verdict.outcome, verdict.reason) == (Outcome.UNGRADED, "judge_unparsed")
    assert verdict.subscores["completion_tokens"] > 0


def test_local_judge_scripted_votes_take_the_median(tmp_path: Path) -> None:
    votes = ['{"score": 1}', '{"score": 0.25}', '{"score": 0.5}', "?"]
    verdict = one(scripted(tmp_path, votes, votes=4, pass_threshold=0.5))
    assert (verdict.outcome, verdict.score) == (Outcome.CORRECT, 0.5)
    assert verdict.subscores["votes"] == 3.0 and verdict.subscores["calls"] == 4.0


def test_local_judge_scripted_labels_take_the_majority(tmp_path: Path) -> None:
    options = {"type": "label_model", "labels": ["good", "bad"], "passing_labels": ["good"], "votes": 3}
    votes = ['{"label": "bad"}', '{"label": "good"}', '{"label": "bad"}']
    verdict = one(scripted(tmp_path, votes, **options))
    assert (verdict.outcome, verdict.answer) == (Outcome.WRONG, "bad")


def test_local_judge_in_a_multi_is_not_asked_where_the_answer_is_wrong(tmp_path: Path) -> None:
    graders = {"answer": {"type": "math"}, "style": scripted(tmp_path, ['{"score": 0.5}'])}
    config = parse_config(
        {"type": "multi", "graders": graders, "calculate_output": "answer * style", "pass_threshold": 0.5}
    )
    with open_grading(config, 1) as grading:
        [wrong] = grading.grade([item("w", "5", "\\boxed{6}")])
        assert not psutil.Process().children()
        [right] = grading.grade([item("r", "5", "\\boxed{5}")])
    assert (wrong.outcome, wrong.reason) == (Outcome.WRONG, "answer_different")
    assert (right.outcome, right.score, right.subscores["style.votes"]) == (Outcome.CORRECT, 0.5, 1.0)


def test_local_judge_alone_does_not_decide_what_can_be_checked(tmp_path: Path) -> None:
    verdict = one(scripted(tmp_path, ['{"score": 1}']), item(answer="5"))
    assert (verdict.outcome, verdict.reason) == (Outcome.UNGRADED, "judge_alone")


@pytest.mark.slow
def test_local_judge_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="no folder at"):
        one(local(tmp_path / "absent"))
    plain = make_model(tmp_path / "plain", byte_tokenizer(), context=64)
    with pytest.raises(ModelLoadError, match="no chat template"):
        one(local(plain))


def _server_of(grading: Grading) -> tuple[str, str]:
    told = dict(grading._judges.open())
    [url] = [value for name, value in told.items() if name.endswith("_URL")]
    [key] = [value for name, value in told.items() if name.endswith("_KEY")]
    return url, key


def test_local_judge_answers_only_who_knows_the_key(tmp_path: Path) -> None:
    with open_grading(parse_config(scripted(tmp_path, ['{"score": 1}'])), 1) as grading:
        url, key = _server_of(grading)
        assert url.startswith("http://127.0.0.1:")
        for given, path, body, status in (
            ("wrong", "/chat/completions", b"{}", 401),
            (key, "/models", b"{}", 401),
            (key, "/chat/completions", b"{}", 400),
            (key, "/chat/completions", b"[" * 9999, 400),
        ):
            request = urllib.request.Request(
                url + path, data=body, headers={"Authorization": f"Bearer {given}"}, method="POST"
            )
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request, timeout=30)
            assert refused.value.code == status
            refused.value.close()
        [verdict] = grading.grade([item()])
    assert verdict.outcome is Outcome.CORRECT


def test_local_judge_whose_process_dies_stops_the_grading_with_the_reason(tmp_path: Path) -> None:
    config = scripted(tmp_path, ['{"score": 1}'], retries=3, backoff_s=0.5)
    with open_grading(parse_config(config), 1) as grading:
        list(grading.grade([item()]))
        for process in serving():
            os.kill(process.pid, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while all(serving.alive for serving in grading._judges._serving.values()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with pytest.raises(StarError, match="ended while grading"):
            list(grading.grade([item(response="another")]))


def test_local_judge_asks_no_endpoint_and_an_endpoint_has_no_revision(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="asks no endpoint"):
        parse_config(local(tmp_path, base_url="http://127.0.0.1:1/v1"))
    with pytest.raises(ConfigError, match="no engine"):
        parse_config({"type": "score_model", "model": "m", "input": RUBRIC, "revision": "main"})


def test_local_judge_digest_ignores_how_the_engine_is_run(tmp_path: Path) -> None:
    def digest(**engine: Any) -> str:
        return grader_digest(parse_config(local("m", engine={"kind": "transformers", **engine})))

    assert digest(device="cpu", batch_size=4) == digest(device="auto", batch_size=64)
    assert digest(dtype="float32") != digest(dtype="bfloat16")
