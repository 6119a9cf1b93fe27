"""`star ablate` on the scripted experiment: arms, controls, forks, one table, and the same command again."""

import json
from pathlib import Path

import pytest

from pipeline.paths import Home
from pipeline.store import Store
from tests.cli.test_app import invoke
from tests.experiments import star, write_config

ARMS = [
    "rationalize=on",
    "rationalize=off",
    "one-shot rejection sampling",
    "unfiltered SFT",
    "answer-only SFT",
    "few-shot majority vote of the base",
    "the base, untrained",
]


@pytest.mark.slow
def test_ablate_runs_arms_and_controls_at_one_budget_and_the_same_command_finds_them_done(
    tmp_path: Path,
) -> None:
    config, home = write_config(tmp_path / "project", rounds=1), tmp_path / "home"
    command = ["ablate", str(config), "--vary", "rationalize=on,off", "--controls", "--at-once", "2"]
    command += ["--set", 'generate.answer_text="#### {answer}"']
    told = star(*command, home=home)
    assert told.returncode == 0, told.stderr
    table = told.stdout[told.stdout.rindex("\narm ") :].splitlines()
    assert [line.split("  ")[0] for line in table[2 : 2 + len(ARMS)]] == ARMS
    assert "left out: SFT on gold solutions: no train problem has one" in told.stderr
    page = Path(told.stdout.splitlines()[-1].removeprefix("report: "))
    assert page.name == "ablation.html" and (page.parent / "ablation.png").is_file()
    assert all(title in page.read_text() for title in ARMS)

    store = Store(Home(home))
    name = "sums-rationalize-off-s0"
    assert store.rows("rounds", experiment=name)[0]["status"] == "forked"
    again = star(*command, "--json", home=home)
    assert again.returncode == 0, again.stderr
    arms = json.loads(again.stdout.splitlines()[-1])["arms"]
    assert [arm["title"] for arm in arms] == ARMS
    first = arms[0]
    (answers,) = [arm for arm in arms if arm["title"] == "answer-only SFT"]
    assert answers["steps"] == first["steps"] and answers["sampled_tokens"] == [0]
    (unfiltered,) = [arm for arm in arms if arm["title"] == "unfiltered SFT"]
    (shot,) = [arm for arm in arms if arm["title"] == "one-shot rejection sampling"]
    assert unfiltered["sampled_tokens"] == shot["sampled_tokens"] != [0]
    assert unfiltered["rows"][0] > shot["rows"][0]
    generated = "select count(*) from stage_runs where stage in ('generate', 'train') and execution > 1"
    assert store.query_readonly(generated)[1] == [(0,)]


@pytest.mark.slow
def test_ablate_arm_that_a_gate_stopped_stands_beside_the_others(tmp_path: Path) -> None:
    config = write_config(tmp_path / "project", rounds=2)
    told = star(
        *("ablate", str(config), "--vary", "decide.max_cut_off=1.0,0.01", "--json"), home=tmp_path / "home"
    )
    assert told.returncode == 0, told.stderr
    arms = json.loads(told.stdout.splitlines()[-1])["arms"]
    assert [arm["title"] for arm in arms][:2] == ["decide.max_cut_off=1.0", "decide.max_cut_off=0.01"]
    assert "are cut off, decide.max_cut_off is 1.0%" in told.stderr + told.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--vary", "rationalize=on"], "at least two values"),
        (["--vary", "rationalise=on,off"], "rationalise"),
        (["--set", "seed=4"], "say --seeds instead"),
    ],
)
def test_ablate_refuses_what_it_cannot_vary_before_anything_runs(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    config = write_config(tmp_path / "project")
    code, told, said = invoke("ablate", str(config), *arguments, home=tmp_path / "home")
    assert (code, told) == (64, "")
    assert words in said
    assert not (tmp_path / "home" / "star.duckdb").exists()
