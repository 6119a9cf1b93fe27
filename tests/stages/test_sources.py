"""Several sources: each with prompts, a grader and a share of its own, and every row says whose it is."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from pipeline.config import ExperimentConfig, load_config, stage_config
from pipeline.errors import ConfigError
from pipeline.graders import grader_digest
from pipeline.records import Problem, Split
from pipeline.stages.generate import draw
from pipeline.stages.shares import parts_by_share
from pipeline.store.checks import run_checks
from tests.stages.conftest import CONFIG, Lab, right

LANDS = {"France": "Paris", "Norway": "Oslo", "Ghana": "Accra", "Peru": "Lima"}
TASK = (
    "fields: {question: land, answer: town, problem_id: land}, grader: {name: towns, type: string_check, "
    'answer_marker: "=", normalize: [case, spaces]}, prompts: {question: "Capital of {question}?", '
    'hinted_question: "Capital of {question}, that is {hint}?"'
)
SHOWN = ', few_shot: [{question: Chad, rationale: "It is far.\\n#### = N\'Djamena", answer: "N\'Djamena"}]'
WORDS = f"problems.sources.words={{kind: jsonl, path: words.jsonl, {TASK}{SHOWN}}}}}"
WORDS_DEV = f"problems.sources.words_dev={{kind: jsonl, path: words-dev.jsonl, split: dev, {TASK}}}}}"


@pytest.fixture
def words(lab: Lab) -> Lab:
    """Beside the sums: three lands to train on, of which one capital is right, and one for dev."""
    rows = [{"land": land, "town": town} for land, town in LANDS.items()]
    (lab.folder / "words.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:3]))
    (lab.folder / "words-dev.jsonl").write_text(json.dumps(rows[3]) + "\n")
    for land in LANDS:
        lab.says(land, ["#### = paris", "#### = rome"])
    lab.says("Peru", ["#### = lima"])
    lab.says("p2", [right(4)])
    return lab


def test_source_is_asked_graded_and_trained_on_in_its_own_way(words: Lab) -> None:
    words.run(WORDS, WORDS_DEV, until="select")  # the end of round 0 comes first
    config = words.session([WORDS, WORDS_DEV]).config
    sums, towns = config.verify.grader, config.problems.sources["words"].grader
    assert towns is not None
    sent = "select distinct prompts.text from current_attempts join prompts using (prompt_hash) where "
    shown = "Capital of Chad? It is far.\n#### = N'Djamena\n\n"
    assert words.rows(f"{sent} problem_id = 'Ghana' and origin = 'generated'") == [
        (f"{shown}Capital of Ghana?",)
    ]
    assert words.rows(f"{sent} problem_id = 'p1' and origin = 'generated'") == [("Q: What is 1 + 1?\nA:",)]
    hinted = words.rows(f"{sent} problem_id = 'Ghana' and origin = 'rationalized'")
    assert hinted[0][0].endswith("Capital of Ghana, that is Accra?")
    kept = words.rows(
        "select source, prompt, completion, rows.grader_digest from current_training_rows rows "
        "join current_problems using (experiment, problem_id) order by source"
    )
    assert kept == [
        ("train", "Q: What is 2 + 2?\nA:", " Adding them up gives 4.\n#### 4", grader_digest(sums)),
        ("words", "Capital of France?", " #### = paris", grader_digest(towns)),
    ]
    graders = words.rows("select distinct source, grader, grader_digest from current_attempts order by all")
    assert graders == [
        ("dev", "main", grader_digest(sums)),
        ("train", "main", grader_digest(sums)),
        ("words", "towns", grader_digest(towns)),
        ("words_dev", "towns", grader_digest(towns)),
    ]
    assert words.rows("select distinct answer from rationales where problem_id = 'Ghana' order by 1") == [
        ("paris",),
        ("rome",),
    ]
    assert words.rows(
        "select problems, correct from current_evaluations where metric = 'accuracy' and round = 0"
    ) == [(5, 5)]
    assert run_checks(words.store, "lab") == []
    found = words.store.rows("reports/accuracy_by_source", experiment="lab")
    assert [(row["source"], row["correct"], row["problems"]) for row in found] == [
        ("dev", 4, 4),
        ("words_dev", 1, 1),
    ]
    yields = words.store.rows("reports/yield_by_source", experiment="lab")
    assert [(row["source"], row["problems"], row["problems_solved"], row["kept"]) for row in yields] == [
        ("train", 6, 1, 1),
        ("words", 3, 1, 1),
    ]


def test_source_with_a_share_gives_it_and_the_others_the_rest(tmp_path: Path) -> None:
    sources = [
        Problem(f"{name}{i}", Split.TRAIN, "q", "a", source=name) for name in "abc" for i in range(100)
    ]
    config = _config(
        tmp_path, "generate.problems=100", _source("a", "share: 0.5"), _source("b", "share: 0.1")
    )
    assert Counter(one.source for one in draw(sources, config, 1)) == {"a": 50, "b": 10, "c": 40}
    assert draw(sources, config, 1) == draw(sources, config, 1) != draw(sources, config, 2)


def test_shares_of_everything_lose_no_problem_to_rounding() -> None:
    problems = [
        Problem(f"{name}{index}", Split.TRAIN, "?", "0", source=name)
        for name in "abc"
        for index in range(300)
    ]
    for wanted in (249, 250, 401):
        parts = parts_by_share(problems, wanted, {"a": 0.25, "b": 0.25, "c": 0.5})
        assert sum(number for _, number in parts) == wanted


def test_source_smaller_than_its_share_gives_all_it_has(tmp_path: Path) -> None:
    few = [Problem(f"a{i}", Split.TRAIN, "q", "a", source="a") for i in range(5)]
    many = [Problem(f"b{i}", Split.TRAIN, "q", "a", source="b") for i in range(100)]
    config = _config(tmp_path, "generate.problems=40", _source("a", "share: 0.5"))
    assert Counter(one.source for one in draw(few + many, config, 1)) == {"a": 5, "b": 20}


def test_shares_need_a_number_of_problems_and_sum_to_one_at_most(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"problems.sources.a.share is 0.5, but generate.problems is null"):
        _config(tmp_path, _source("a", "share: 0.5"))
    with pytest.raises(ConfigError, match=r"\(a 0.5, b 0.7\) sum to 1.2; expected at most 1"):
        _config(tmp_path, "generate.problems=4", _source("a", "share: 0.5"), _source("b", "share: 0.7"))


def test_source_without_anything_of_its_own_has_the_digest_it_had(tmp_path: Path) -> None:
    sources = stage_config(_config(tmp_path), ("problems.sources",))["problems.sources"]
    assert set(sources["train"]) == {"kind", "path", "split", "limit", "fields"}


def _source(name: str, own: str) -> str:
    return f"problems.sources.{name}={{kind: jsonl, path: {name}.jsonl, {own}}}"


def _config(folder: Path, *settings: str) -> ExperimentConfig:
    (folder / "config.yaml").write_text(CONFIG)
    return load_config(folder / "config.yaml", ["model.base=x", "engine.script=y", *settings]).config
