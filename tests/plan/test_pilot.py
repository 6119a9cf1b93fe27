"""The pilot is a part of the experiment's own round 1, counted in its own tables, and leaks nowhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import load_config
from pipeline.errors import ConfigError
from pipeline.paths import Home
from pipeline.plan import measure, run_pilot
from pipeline.plan.pilot import TIMED_STEPS, pilot_config
from pipeline.progress import LogProgress
from pipeline.store import Store
from tests.experiments import NAME, write_config
from tests.plan.conftest import PROBLEMS, Tried

WRITTEN = "select problem_id, origin, sample, seed, text from rationales where round = 1 and not superseded"


def asked(store: Store, sql: str) -> list[tuple[Any, ...]]:
    return store.query_readonly(sql)[1]


def test_pilot_counts_are_those_of_its_store(tried: Tried) -> None:
    measured, store = tried.measured, tried.pilot.store
    generated = "from current_rationales where round = 1 and origin = 'generated'"
    counted = asked(
        store,
        "select count(*), count(distinct problem_id), count(*) filter (outcome = 'correct'), "
        f"count(*) filter (finish_reason = 'length'), sum(completion_tokens) {generated}",
    )
    columns = ("correct", "cut_off", "generated_tokens")
    assert counted == [
        (measured.count("attempts"), len(measured.problems), *(measured.count(name) for name in columns))
    ]
    solved = f"select count(distinct problem_id) {generated} and outcome = 'correct'"
    assert asked(store, solved) == [(measured.solved,)]
    hinted = "select count(*), count(*) filter (outcome = 'correct') from current_rationales where origin = 'rationalized'"
    assert asked(store, hinted) == [(measured.count("hinted"), measured.count("hinted_correct"))]
    rows = "select count(*), sum(tokens) from current_training_rows"
    assert asked(store, rows) == [(measured.count("kept"), measured.count("kept_tokens"))]
    assert asked(store, "select count(*) from current_rationales") == [(measured.rationales,)]


def test_pilot_problems_and_texts_are_those_of_the_experiment(tried: Tried, finished: Path) -> None:
    mine = set(asked(tried.pilot.store, WRITTEN))
    real = set(asked(Store(Home(finished / "home")), WRITTEN))
    assert mine and mine <= real
    assert len({row[0] for row in mine}) == PROBLEMS
    assert tried.measured.sample.problems == 6


def test_row_lengths_of_kept_problems_are_those_that_select_made(tried: Tried) -> None:
    made = dict(asked(tried.pilot.store, "select problem_id, tokens from current_training_rows"))
    for row, length in zip(tried.measured.problems, tried.measured.row_tokens, strict=True):
        if row["kept"] and row["correct"] == row["attempts"] and not row["hinted"]:
            assert length is not None and abs(length - made[row["problem_id"]]) < 80


def test_pilot_trains_a_few_steps_and_leaves_no_checkpoint(tried: Tried) -> None:
    trained = tried.measured.trained
    assert trained is not None and trained["detail"]["steps"] == TIMED_STEPS
    assert tried.pilot.facts.checkpoint_bytes > 10_000
    assert not list(tried.pilot.home.root.rglob("*.safetensors"))


def test_pilot_leaves_nothing_in_the_home_but_the_base_and_itself(tried: Tried) -> None:
    assert {path.name for path in tried.home.root.iterdir()} == {"bases", "plans"}
    assert not Store(tried.home).exists()
    assert tried.pilot.home.bases.resolve() == tried.home.bases.resolve()


def test_pilot_keeps_its_tables_to_itself_where_the_site_shares_a_store(
    saying: Callable[..., Tried], monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = "ducklake:postgres:host=nowhere.invalid dbname=star user=star password=$STAR_DB_PASSWORD"
    monkeypatch.setenv("STAR_STORE", nowhere)
    monkeypatch.setenv("STAR_DB_PASSWORD", "x")
    assert saying("It is 99.\n#### 99").pilot.home.store_path.is_file()


def test_pilot_asked_again_is_reused_and_with_again_is_run_anew(tried: Tried) -> None:
    loaded, progress = load_config(tried.config), LogProgress()
    executions = "select count(*), max(started_at) from stage_runs"
    before = asked(tried.pilot.store, executions)
    once_more = run_pilot(loaded, tried.home, PROBLEMS, progress)
    assert once_more.reused and not tried.pilot.reused
    assert asked(once_more.store, executions) == before
    assert measure(once_more).problems == tried.measured.problems
    anew = run_pilot(loaded, tried.home, PROBLEMS, progress, again=True)
    assert not anew.reused and asked(anew.store, executions)[0][1] > before[0][1]
    assert measure(anew).problems == tried.measured.problems


def test_pilot_of_other_settings_has_a_home_of_its_own(tried: Tried) -> None:
    other = run_pilot(load_config(tried.config, ["generate.samples=3"]), tried.home, PROBLEMS, LogProgress())
    assert other.home.root != tried.pilot.home.root
    assert measure(other).count("attempts") == 3 * PROBLEMS
    assert other.experiment == NAME


def test_pilot_reports_to_no_tracker_of_the_experiment(tried: Tried) -> None:
    followed = load_config(tried.config, ["train.report_to=[tensorboard]"]).config
    assert followed.train.report_to and not pilot_config(followed, PROBLEMS).train.report_to


def test_plan_of_a_config_that_only_measures_a_server_is_refused_before_anything_runs(tmp_path: Path) -> None:
    server = "engine={kind: openai, endpoint: {url: 'http://127.0.0.1:9/v1', model: m}}"
    loaded = load_config(write_config(tmp_path / "project"), [server, "rounds=0"])
    with pytest.raises(
        ConfigError, match=r"predicts rounds, and sums only measures: .*star run with --set evaluate.limit"
    ):
        run_pilot(loaded, Home(tmp_path / "home"), PROBLEMS, LogProgress())
    assert not (tmp_path / "home").exists()
