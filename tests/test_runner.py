"""Done stays done, stale is done again, and what cannot go on says why and what to do."""

from __future__ import annotations

import pytest

from pipeline.errors import ConfigError, LeaseHeldError, NotReadyError
from pipeline.progress import LogProgress
from pipeline.runner import open_session, run_experiment, run_stage
from pipeline.store import StageKey, Store
from tests.stages.conftest import Lab, lab, right, text_base  # noqa: F401

RUNS = "select stage, count(*) from stage_runs where experiment = 'lab' group by 1"


def test_run_again_does_nothing_that_is_done(lab: Lab) -> None:  # noqa: F811
    lab.run(until="select")
    first = dict(lab.rows(RUNS))
    lab.run(until="select")
    again = dict(lab.rows(RUNS))
    assert {stage for stage in first if again[stage] != first[stage]} <= {"check", "decide"}


def test_run_with_another_config_names_what_differs_and_both_remedies(lab: Lab) -> None:  # noqa: F811
    lab.run(until="generate")
    with pytest.raises(ConfigError) as caught:
        lab.run("generate.samples=5", "seed=7", until="generate")
    message = str(caught.value)
    assert "generate.samples: 2, 5" in message
    assert "seed: 0, 7" in message
    assert "star fork lab NEW" in message
    assert "star run CONFIG --experiment NEW" in message


def test_run_with_other_execution_settings_goes_on(lab: Lab) -> None:  # noqa: F811
    lab.run(until="generate")
    before = lab.rows("select count(*), max(created_at) from rationales where round = 1")
    lab.run("engine.flush_every=2", "engine.batch_size=1", "rounds=2", until="generate")
    assert lab.rows("select count(*), max(created_at) from rationales where round = 1") == before


def test_run_with_another_shard_count_writes_the_same_rows_under_new_shards(lab: Lab) -> None:  # noqa: F811
    lab.run(until="verify_generated")
    query = (
        "select problem_id, sample, text, seed, outcome from rationales join verdicts using (experiment, rationale_id) "
        "where rationales.stage = 'generate' and not rationales.superseded and not verdicts.superseded order by all"
    )
    before = lab.rows(query)
    digest = lab.rows("select output_digest from stage_runs where stage = 'generate'")
    session = lab.session(["shards=3"])
    run_stage(session, "generate", 1)
    run_stage(session, "verify_generated", 1)
    assert lab.rows(query) == before
    state = Store(lab.home).state(StageKey("lab", 1, "generate"))
    assert (state.shards, state.output_digest) == (3, digest[0][0])


def test_stage_before_its_input_names_the_missing_stage_and_the_command(lab: Lab) -> None:  # noqa: F811
    session = lab.session()
    run_stage(session, "prepare", 0)
    with pytest.raises(NotReadyError, match="star stage prepare lab --round 1"):
        run_stage(session, "generate", 1)


def test_stage_that_a_round_does_not_have_is_refused_with_its_list(lab: Lab) -> None:  # noqa: F811
    with pytest.raises(ConfigError, match="stage train is not part of round 0, which has prepare, evaluate"):
        run_stage(lab.session(), "train", 0)
    with pytest.raises(ConfigError, match="'trian' is no stage"):
        run_stage(lab.session(), "trian", 1)


def test_unknown_experiment_without_config_says_how_to_start_it(lab: Lab) -> None:  # noqa: F811
    with pytest.raises(NotReadyError, match="star run CONFIG"):
        open_session(lab.home, "nobody", None, LogProgress())


def test_second_start_of_one_experiment_says_who_holds_it(lab: Lab) -> None:  # noqa: F811
    lab.run(until="generate")
    session = lab.session()
    with Store(lab.home).lease("lab", "star run"), pytest.raises(LeaseHeldError, match="star run"):
        run_experiment(session)


def test_changed_upstream_makes_what_follows_stale_and_keeps_the_old_rows(lab: Lab) -> None:  # noqa: F811
    lab.run(until="select")
    lab.says("p1", [right(2)])
    session = lab.session()
    run_stage(session, "generate", 1, force=True)
    lab.run(until="select")
    assert lab.rows("select problem_id from training_rows where not superseded") == [("p1",)]
    old, new = lab.rows(
        "select superseded, count(*) from rationales where stage = 'generate' group by 1 order by 1"
    )
    assert (old, new) == ((False, 12), (True, 12))


@pytest.mark.slow
def test_checkpoint_that_is_missing_names_the_folder_and_the_stage(lab: Lab) -> None:  # noqa: F811
    lab.says("p1", [right(2)])
    lab.run("rounds=1")
    path = lab.home.root / lab.rows("select path from checkpoints")[0][0]
    path.rename(path.with_name("elsewhere"))
    with pytest.raises(NotReadyError, match="checkpoint .* cannot be loaded"):
        lab.run("rounds=2")
