"""Further sets: measured every round with a prompt and a grader of their own, reported, and never decided on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import load_config, stage_config
from pipeline.errors import ConfigError
from pipeline.graders import grader_digest
from tests.stages.conftest import CONFIG, Lab, right

CAPITALS = [
    {"land": "France", "town": "Paris"},
    {"land": "Norway", "town": "Oslo"},
    {"land": "Ghana", "town": "Accra"},
]
SET = (
    "evaluate.further.capitals={path: capitals.jsonl, fields: {question: land, answer: town, problem_id: land}, "
    'question: "Capital of {question}?", answer_line: "^=", stop: ["!"], max_tokens: 8, '
    "grader: {name: towns, type: string_check, answer_marker: '='}}"
)


def _capitals(lab: Lab, rows: list[dict[str, Any]]) -> None:
    (lab.folder / "capitals.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for row in rows:
        lab.says(f"capitals:{row['land']}", ["= Paris"])


def _trained(lab: Lab) -> None:
    """A script whose first round keeps rows, so that its model is measured."""
    for index in range(6):
        lab.says(f"p{index}", [right(2 * index)])


def test_further_set_is_measured_in_every_round_with_its_own_prompt_and_grader(lab: Lab) -> None:
    _trained(lab)
    _capitals(lab, CAPITALS)
    lab.run(SET)
    assert lab.rows(
        "select round, split, prompt_style, problems, correct from current_evaluations "
        "where metric = 'accuracy' and difficulty is null order by all"
    ) == [
        (0, "dev", "zero_shot", 4, 4),
        (0, "further:capitals", "zero_shot", 3, 1),
        (1, "dev", "zero_shot", 4, 4),
        (1, "further:capitals", "zero_shot", 3, 1),
    ]
    assert lab.rows(
        "select distinct prompts.text, a.sampling->>'max_tokens', a.sampling->>'temperature', a.sampling->>'$.stop[0]', "
        "a.grader, a.verdict_answer from current_attempts a join prompts using (prompt_hash) "
        "where purpose = 'further' and round = 0 and problem_id = 'capitals:Ghana'"
    ) == [("Capital of Ghana?", "8", "0.0", "!", "towns", "Paris")]
    digests = lab.rows("select distinct grader_digest from evaluations where split = 'further:capitals'")
    further = lab.session([SET]).config.evaluate.further
    assert further is not None and further["capitals"].grader is not None
    assert digests == [(grader_digest(further["capitals"].grader),)]
    checks = lab.store.rows("reports/further_by_round", experiment="lab")
    assert [(row["further_set"], row["round"], row["correct"], row["change"]) for row in checks] == [
        ("capitals", 0, 1, 0.0),
        ("capitals", 1, 1, 0.0),
    ]


@pytest.mark.slow
def test_further_set_changes_neither_the_decision_nor_what_is_trained_on(lab: Lab) -> None:
    """With patience 1 and an accuracy of dev that stays, the run stops; a rise of the set would keep it going."""
    _trained(lab)
    _capitals(lab, CAPITALS)
    settings = ("rounds=3", "decide.patience=1")
    without = lab.run(*settings, name="without")
    assert lab.run(*settings, SET, name="beside") == without
    kept = (
        "select round, problem_id, completion from current_training_rows where experiment = '{}' order by all"
    )
    assert lab.rows(kept.format("beside")) == lab.rows(kept.format("without"))
    decided = "select round, decision, reason from rounds where experiment = '{}' order by all"
    assert lab.rows(decided.format("beside")) == lab.rows(decided.format("without"))
    accuracy = (
        "select round, dev_accuracy, eval_accuracy from rounds_summary where experiment = '{}' order by all"
    )
    assert lab.rows(accuracy.format("beside")) == lab.rows(accuracy.format("without"))


def test_further_set_alone_gives_patience_nothing_to_go_by(lab: Lab) -> None:
    _trained(lab)
    _capitals(lab, CAPITALS)
    for _ in range(2):  # to the end of round 0, then of round 1
        lab.run("rounds=2", "decide.patience=1", "evaluate.splits=[eval]", SET, until="decide")
    assert lab.rows("select round, decision from rounds order by all") == [(0, "continue"), (1, "continue")]


def test_further_set_in_shards_is_measured_whole(lab: Lab) -> None:
    _capitals(lab, CAPITALS)
    lab.run("rounds=0", "shards=2", SET)
    assert lab.rows(
        "select problems, correct from evaluations where split like 'further:%' and metric = 'accuracy'"
    ) == [(3, 1)]


def test_further_is_no_split_that_a_config_may_name() -> None:
    for setting in ("evaluate.splits=[further]", "problems.sources.x={kind: jsonl, path: x, split: further}"):
        with pytest.raises(ConfigError, match=r"expected 'train', 'dev' or 'eval' \(value 'further'\)"):
            load_config(Path("addition"), [setting])


def test_config_without_further_sets_has_the_digest_it_had(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    config = load_config(tmp_path / "config.yaml", ["model.base=x", "engine.script=y"]).config
    parts = stage_config(config, ("evaluate", "evaluate.further"))
    assert list(parts) == ["evaluate"] and "further" not in parts["evaluate"]
