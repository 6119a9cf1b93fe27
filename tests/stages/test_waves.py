"""generate.adaptive: waves of samples that stop where enough is correct, and say why."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.errors import ConfigError
from pipeline.graders.registry import build_grader
from pipeline.records import GradeItem
from pipeline.stages import waves
from pipeline.store.checks import run_checks
from tests.stages.conftest import Lab, right

ADAPTIVE = ("generate.samples=4", "generate.adaptive={enough: 1}")
KEPT = "select problem_id, rationale_id, origin, sample from training_rows where not superseded order by all"


@pytest.fixture
def mixed(lab: Lab) -> Lab:
    """p0 is right at once, p1 with its third sample, the others never."""
    lab.says("p0", [right(0, words) for words in ("One", "Two", "Three", "Four")])
    lab.says("p1", [right(9, "One"), right(9, "Two"), right(2, "Three"), right(2, "Four")])
    return lab


def test_problem_is_sampled_until_enough_is_correct_and_says_why_it_stopped(mixed: Lab) -> None:
    mixed.run(*ADAPTIVE, until="verify_generated")
    stops = mixed.rows("select problem_id, samples, correct, reason from sampling_stops order by 1")
    # p1 failed twice, so two samples were drawn at once, and both are right.
    assert stops[:2] == [("p0", 1, 1, "enough"), ("p1", 4, 2, "enough")]
    assert stops[2:] == [(f"p{index}", 4, 0, "samples") for index in range(2, 6)]
    assert mixed.rows(
        "select problem_id, count(*), count(distinct seed) from rationales where stage = 'generate' group by 1 "
        "order by 1"
    ) == [(name, samples, samples) for name, samples, _, _ in stops]


def test_training_rows_are_those_of_a_fixed_number_of_samples(mixed: Lab) -> None:
    mixed.run("generate.samples=4", name="fixed", until="select")
    mixed.run(*ADAPTIVE, name="adaptive", until="select")
    of = "select problem_id, origin, sample, completion from training_rows where experiment = '{}' order by all"
    fixed, adaptive = (mixed.rows(of.format(name)) for name in ("fixed", "adaptive"))
    assert fixed == adaptive
    assert ("p1", "generated", 2) in [row[:3] for row in adaptive]
    count = "select count(*) from rationales where stage = 'generate' and experiment = '{}'"
    assert mixed.rows(count.format("adaptive")) < mixed.rows(count.format("fixed"))


def test_killed_between_waves_ends_with_the_rows_of_a_whole_run(
    mixed: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed.run(*ADAPTIVE, name="whole", until="generate")
    planned = waves.next_wave
    calls: list[int] = []

    def killed(*arguments: object) -> dict[str, int]:
        calls.append(len(calls))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return planned(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(waves, "next_wave", killed)
    with pytest.raises(KeyboardInterrupt):
        mixed.run(*ADAPTIVE, name="killed", until="generate")
    monkeypatch.undo()
    mixed.run(*ADAPTIVE, name="killed", until="generate")
    columns = (
        "select problem_id, sample, seed, text from rationales where stage = 'generate' and experiment = '{}'"
    )
    whole, gone_on = (mixed.rows(f"{columns.format(name)} order by all") for name in ("whole", "killed"))
    assert gone_on == whole
    assert mixed.rows("select count(distinct (problem_id, samples, reason)) from sampling_stops") == [(6,)]
    told = mixed.rows(
        "select detail ->> '$.resumed' from stage_runs where experiment = 'killed' and stage = 'generate' "
        "and status = 'done'"
    )
    assert int(told[0][0]) > 0


@pytest.mark.parametrize("fuse", ["generate.fuse=false", "generate.fuse=true"])
def test_verdicts_of_the_waves_are_not_reached_again(
    mixed: Lab, monkeypatch: pytest.MonkeyPatch, fuse: str
) -> None:
    graded: list[str] = []
    grader = type(build_grader(mixed.session().config.verify.grader))
    inline = grader.inline

    def counted(self: Any, item: GradeItem) -> Any:
        graded.append(item.key)
        return inline(self, item)

    monkeypatch.setattr(grader, "inline", counted)
    mixed.run(*ADAPTIVE, fuse, until="verify_generated")
    assert sorted(graded) == [row[0] for row in mixed.rows("select rationale_id from verdicts order by 1")]


def test_stops_add_up_with_the_attempts_and_the_check_finds_one_that_does_not(mixed: Lab) -> None:
    mixed.run(*ADAPTIVE, "shards=2")
    assert run_checks(mixed.store, "lab") == []
    report = mixed.store.rows("reports/sampling_stops", experiment="lab")
    total = next(row for row in report if row["reason"] == "any")
    assert (total["problems"], total["solved"]) == (6, 2)
    assert (total["samples"],) == mixed.rows("select count(*) from rationales where stage = 'generate'")[0]
    assert {row["reason"]: row["problems"] for row in report} == {"any": 6, "enough": 2, "samples": 4}
    with mixed.store.transaction() as connection:
        connection.execute("update sampling_stops set samples = 3 where problem_id = 'p0'")
    offences = run_checks(mixed.store, "lab")
    assert [(each.check, each.row["problem_id"]) for each in offences] == [
        ("sampling_stops_do_not_add_up", "p0")
    ]


def test_budget_ends_sampling_after_the_first_wave(mixed: Lab) -> None:
    mixed.run("generate.samples=4", "generate.adaptive={enough: 1, first: 2, budget: 1}", until="generate")
    assert mixed.rows("select reason, samples, count(*) from sampling_stops group by all order by all") == [
        ("budget", 2, 5),
        ("enough", 2, 1),
    ]


def test_prompt_that_fills_the_context_is_asked_for_once_and_counted(mixed: Lab) -> None:
    long = f"prompts.question='{'word ' * 200} Q: {{question}}'"
    mixed.run(*ADAPTIVE, long, "engine={kind: transformers, device: cpu}", until="generate")
    assert mixed.rows("select distinct reason, samples from sampling_stops") == [("prompt_too_long", 0)]
    assert mixed.rows("select reason, count(*) from rejections where stage = 'generate' group by 1") == [
        ("prompt_too_long", 6)
    ]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (("generate.samples=2", "generate.adaptive={enough: 3}"), "asks for 3 samples"),
        (("generate.samples=2", "generate.adaptive={first: 3}"), "asks for 3 samples"),
        (("generate.source=gold_solutions", "generate.adaptive={}"), "about a model's sampling"),
        (("generate.adaptive={}", "select.min_correct=2"), "select.min_correct leaves out problems"),
    ],
)
def test_adaptive_that_cannot_keep_what_it_draws_is_a_config_error(
    lab: Lab, settings: tuple[str, ...], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        lab.run(*settings)
