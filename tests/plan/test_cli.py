"""`star plan` in the terminal and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.cli.test_app import invoke
from tests.plan.conftest import PROBLEMS, Tried


def test_plan_prints_the_pilot_every_round_and_what_is_assumed(tried: Tried) -> None:
    code, told, said = invoke("plan", str(tried.config), "--pilot", str(PROBLEMS), home=tried.home.root)
    assert code == 0
    assert told.startswith(
        "sums: a pilot of 4 of the 6 problems of round 1, 8 attempts by the base, was run before"
    )
    lines = [line.split()[0] for line in told.splitlines() if line.strip()]
    assert [word for word in lines if word in ("round", "all")] == ["round", "round", "round", "all"]
    assert "GPU hours" not in told and "USD" not in told
    assert "assumed: a later round has, at the low end, the pass rate of round 1" in said


def test_plan_as_json_has_estimates_with_their_ends_and_the_store_has_no_experiment(tried: Tried) -> None:
    command = ("plan", str(tried.config), "--pilot", str(PROBLEMS), "--rounds", "2", "--json")
    code, told, _ = invoke(*command, home=tried.home.root)
    document = json.loads(told)
    assert code == 0
    assert document["pilot"]["solved"] == tried.measured.solved and document["pilot"]["reused"] is True
    assert [each["round"] for each in document["rounds"]] == [0, 1, 2]
    assert set(document["total"]["sampled_tokens"]) == {"value", "low", "high"}
    assert invoke("status", "--json", home=tried.home.root)[1].strip() == "[]"


def test_plan_of_what_solves_nothing_says_what_to_turn(saying: Callable[..., Tried]) -> None:
    tried = saying("It is 99.\n#### 99")
    code, _, said = invoke("plan", str(tried.config), "--pilot", str(PROBLEMS), home=tried.home.root)
    assert code == 0
    assert "the base solved none of 4 problems" in said
    assert "  problems.imported: start from rationales written elsewhere" in said
    assert "no step could be timed" in said
