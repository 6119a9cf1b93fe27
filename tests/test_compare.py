"""Experiments against each other on the same problems, with numbers worked out by hand."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.compare import chosen_round, compare, measured
from pipeline.errors import ConfigError, NotReadyError
from pipeline.paths import Home
from pipeline.store import RunSummary, Store
from tests.cli.test_app import invoke
from tests.experiments import NAME
from tests.store.known_rows import commit_rows, evaluation, problem, put_round, rationale, verdict

ALL = [f"e{number}" for number in range(8)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(Home(tmp_path / "home"))
    made.migrate()
    return made


def put(store: Store, name: str, round_: int, solved: str, problems: list[str] = ALL, **fields: Any) -> None:
    """A round of an experiment measured on `problems`, of which those whose number is in `solved` came out right."""
    if round_ == 0:
        row = {
            "experiment": name,
            "config": {},
            "config_digest": "c",
            "base_hash": "base",
            "created_at": "2026-01-01",
        }
        store.put("experiments", [row])
        rows = [problem(one, "eval", **fields) for one in problems]
        commit_rows(store, "prepare", 0, {"problems": rows}, experiment=name)
    put_round(store, round_, name)
    right = [one[1:] in solved for one in problems]
    attempts = [
        rationale(f"{name}-{round_}-{one}", one, "evaluated", purpose="greedy", split="eval")
        for one in problems
    ]
    spent = RunSummary(seconds=10.0)
    commit_rows(store, "evaluate", round_, {"rationales": attempts}, experiment=name, summary=spent)
    verdicts = [
        verdict(row["rationale_id"], "correct" if good else "wrong")
        for row, good in zip(attempts, right, strict=True)
    ]
    value = sum(right) / len(right)
    tables = {"verdicts": verdicts, "evaluations": [evaluation("eval", value)]}
    commit_rows(store, "verify_evaluated", round_, tables, experiment=name)


def test_compare_pairs_problems_and_tests_the_discordant_ones(store: Store) -> None:
    put(store, "one", 0, solved="012")
    put(store, "two", 0, solved="234567")
    found = compare(measured(store, "one", 0), measured(store, "two", 0))
    assert (found.problems, found.both, found.neither, found.gained, found.lost) == (8, 1, 0, 5, 2)
    assert (found.first_accuracy.value, found.second_accuracy.value) == (3 / 8, 6 / 8)
    assert found.difference.value == pytest.approx(3 / 8)
    assert found.p_value == pytest.approx(58 / 128)  # twice (1 + 7 + 21) of 2**7
    assert (found.only_first, found.only_second, found.changed) == (0, 0, 0)


def test_compare_leaves_out_and_counts_problems_that_differ(store: Store) -> None:
    put(store, "one", 0, solved="0123", problems=["e0", "e1", "e2", "e3"])
    put(store, "two", 0, solved="12", problems=["e1", "e2", "e3", "e4", "e5"])
    put(store, "other", 0, solved="1", problems=["e1", "e2"], question="another question")
    found = compare(measured(store, "one", 0), measured(store, "two", 0))
    assert (found.problems, found.gained, found.lost) == (3, 0, 1)
    assert (found.only_first, found.only_second, found.changed) == (1, 2, 0)
    with pytest.raises(ConfigError, match="share no problem of eval"):
        compare(measured(store, "one", 0), measured(store, "other", 0))


def test_compare_counts_one_id_with_another_question_as_changed(store: Store) -> None:
    put(store, "one", 0, solved="01", problems=["e0", "e1"])
    put(store, "two", 0, solved="01", problems=["e0", "e1"])
    with store.transaction() as connection:
        connection.execute("UPDATE problems SET answer = '8' WHERE experiment = 'two' AND problem_id = 'e1'")
    found = compare(measured(store, "one", 0), measured(store, "two", 0))
    assert (found.problems, found.only_first, found.only_second, found.changed) == (1, 0, 0, 1)


def test_measured_takes_the_better_style_of_round_0_and_the_cost_so_far(store: Store) -> None:
    put(store, "one", 0, solved="0")
    put(store, "one", 1, solved="01")
    attempts = [
        rationale(f"few-{one}", one, "evaluated", purpose="greedy", split="eval", prompt_style="few_shot")
        for one in ALL
    ]
    verdicts = [verdict(row["rationale_id"], "correct") for row in attempts]
    commit_rows(store, "evaluate_too", 0, {"rationales": attempts}, experiment="one")
    tables = {"verdicts": verdicts, "evaluations": [evaluation("eval", 1.0, prompt_style="few_shot")]}
    commit_rows(store, "verify_too", 0, tables, experiment="one")
    base = measured(store, "one", 0)
    assert (base.style, sum(base.answers.values()), base.cost["seconds"]) == ("few_shot", 8, 10.0)
    assert measured(store, "one", 1).cost["seconds"] == 20.0


def test_chosen_round_is_best_last_or_a_number(store: Store) -> None:
    put(store, "one", 0, solved="0")
    put(store, "one", 1, solved="01")
    assert [chosen_round(store, "one", wanted) for wanted in ("last", "0", "1")] == [1, 0, 1]
    with pytest.raises(NotReadyError, match="round 5 of one was not measured; measured rounds: 0, 1"):
        chosen_round(store, "one", "5")
    with pytest.raises(ConfigError, match="expected a number, best or last"):
        chosen_round(store, "one", "first")


def test_compare_command_shows_the_table_and_the_same_as_json(store: Store) -> None:
    put(store, "one", 0, solved="012")
    put(store, "two", 0, solved="234567")
    put(store, "three", 0, solved="", problems=[*ALL, "e8"])
    home = store.home.root
    code, told, said = invoke("compare", "one", "two", "three", home=home)
    assert code == 0, said
    lines = told.splitlines()
    assert lines[1].startswith("one@0")
    assert all(word in lines[2] for word in ("two@0", "75.0%", "+37.5 [", "0.45"))
    assert (
        "note: one and three were measured on different problems: 0 only the first, 1 only the second" in said
    )
    rows = json.loads(invoke("compare", "one", "two", "--json", home=home)[1])
    assert (rows[0]["gained"], rows[0]["lost"], rows[0]["first"]["cost"]["seconds"]) == (5, 2, 10.0)


def test_compare_command_shows_money_where_the_site_has_a_price(store: Store) -> None:
    for name, seconds in (("one", 1800.0), ("two", 5400.0)):
        put(store, name, 0, solved="012")
        spent = RunSummary(seconds=seconds, device="cuda")
        commit_rows(store, "train", 0, {}, experiment=name, summary=spent)
    (store.home.root / "site.yaml").write_text("prices: {gpu_hour: 4.0, currency: EUR}")
    code, told, said = invoke("compare", "one", "two", home=store.home.root)
    assert code == 0, said
    header, first, second = told.splitlines()[:3]
    assert header.split()[-1] == "EUR"
    assert (first.split()[-2:], second.split()[-2:]) == (["0.50", "2.00"], ["1.50", "6.00"])


def test_compare_command_takes_rounds_of_one_experiment(finished: Path) -> None:
    code, told, said = invoke("compare", f"{NAME}@0", NAME, "--round", "last", home=finished / "home")
    assert code == 0, said
    assert f"{NAME}@0" in told and f"{NAME}@2" in told


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([NAME], 2, "name at least two"),
        ([NAME, "nobody"], 66, f"there are: {NAME}"),
        ([NAME, f"{NAME}@9"], 66, "was not measured"),
        ([NAME, NAME, "--split", "train"], 66, "was not measured on train; measured: dev, eval"),
    ],
)
def test_compare_command_says_what_is_missing(
    finished: Path, arguments: list[str], code: int, words: str
) -> None:
    found, told, said = invoke("compare", *arguments, home=finished / "home")
    assert (found, told) == (code, "")
    assert words in " ".join(said.replace("│", " ").split())
