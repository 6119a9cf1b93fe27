"""generate.temperatures: each round is written at the temperature that a slice of dev says is best."""

from __future__ import annotations

import pytest

from pipeline.errors import ConfigError
from pipeline.store.checks import run_checks
from tests.stages.conftest import Lab, right

CHOOSE = "generate.temperatures={candidates: [1.3, 0.5, 0.9], samples: 2, problems: 3, target: 2}"


@pytest.fixture
def choosing(lab: Lab) -> Lab:
    """Dev problems get both samples right at 1.3, but alike; at 0.5 one right, one wrong; at 0.9 two different right
    ones."""
    for index in range(4):
        answer = 2 * index + 1
        texts = [right(answer, "Same"), right(answer, "Same"), right(answer), right(7000)]
        texts += [right(answer, "One way"), right(answer, "Another way")]
        lab.says(f"d{index}", texts)
    return lab


def test_round_is_written_at_the_temperature_with_the_best_balance_score(choosing: Lab) -> None:
    choosing.run(CHOOSE)
    rows = choosing.store.rows("reports/temperatures_by_round", experiment="lab")
    found = [
        (row["temperature"], row["problems"], row["attempts"], row["texts"], row["score"], row["chosen"])
        for row in rows
    ]
    # min(right texts / 2, 1) * right texts / texts
    assert found == [(0.5, 3, 6, 2.0, 0.25, False), (0.9, 3, 6, 2.0, 1.0, True), (1.3, 3, 6, 1.0, 0.5, False)]
    assert choosing.rows(
        "select distinct sampling ->> '$.temperature' from rationales where stage = 'generate'"
    ) == [("0.9",)]
    assert choosing.rows(
        "select detail -> '$.temperature_scores' ->> '0.9' from stage_runs where stage = 'generate'"
    ) == [("1.0",)]
    assert run_checks(choosing.store, "lab") == []


def test_temperature_is_chosen_on_dev_alone_and_its_attempts_are_never_trained_on(choosing: Lab) -> None:
    choosing.run(CHOOSE, until="select")
    assert choosing.rows(
        "select distinct split, origin, purpose from rationales where stage = 'choose_temperature'"
    ) == [("dev", "evaluated", "temperature")]
    assert choosing.rows(
        "select count(*) from rationales join training_rows using (rationale_id) where purpose = 'temperature'"
    ) == [(0,)]
    assert choosing.rows("select distinct round from rationales where purpose = 'temperature'") == [(1,)]


def test_measures_of_dev_are_those_without_a_choice(choosing: Lab) -> None:
    choosing.run(name="plain")
    choosing.run(CHOOSE, name="choosing")
    measured = (
        "select split, metric, round, problems, correct from evaluations where experiment = '{}' order by all"
    )
    assert choosing.rows(measured.format("choosing")) == choosing.rows(measured.format("plain"))


def test_temperature_and_waves_go_together(choosing: Lab) -> None:
    choosing.run(CHOOSE, "generate.samples=3", "generate.adaptive={}", until="verify_generated")
    assert choosing.rows(
        "select distinct sampling ->> '$.temperature' from rationales where stage = 'generate'"
    ) == [("0.9",)]
    assert choosing.rows("select distinct reason from sampling_stops") == [("samples",)]


def test_temperature_without_dev_problems_is_a_config_error(lab: Lab) -> None:
    with pytest.raises(ConfigError, match="chooses on dev problems, and this experiment has none"):
        lab.run(CHOOSE, "problems.sources.dev.split=eval")


@pytest.mark.parametrize(
    ("value", "told"),
    [("[0.7, 0.7]", "names one twice"), ("[0.7]", "candidates"), ("[0.0, 0.7]", "candidates")],
)
def test_candidates_that_leave_no_choice_are_a_config_error(lab: Lab, value: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        lab.run(f"generate.temperatures={{candidates: {value}}}")
