"""Random experiments: whatever was attempted, judged and kept, the reports account for every attempt once."""

import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from pipeline.config.site import PricesSite
from pipeline.paths import Home
from pipeline.store import Store
from tests.store.known_rows import EXPERIMENT, commit_rows, put_round, rationale, training_row, verdict

ENDS = ("eos", "stop", "answer", "length")
ATTEMPT = st.fixed_dictionaries(
    {
        "origin": st.sampled_from(("generated", "rationalized")),
        "problem": st.integers(0, 3),
        "outcome": st.sampled_from(("correct", "wrong", "ungraded", None)),
        "end": st.sampled_from(ENDS),
        "text": st.integers(0, 2),
        "tokens": st.integers(0, 50),
        "fate": st.sampled_from(("kept", "wrong", "duplicate", "over_problem_cap")),
    }
)
ROUNDS = st.lists(
    st.tuples(st.lists(ATTEMPT, max_size=12), st.booleans()),  # its attempts, and whether it has selected
    min_size=1,
    max_size=3,
)


@pytest.fixture(scope="module")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Store(Home(tmp_path_factory.mktemp("empty")))
    made.migrate()
    return made.home.root


def commit_rounds(store: Store, rounds: list[tuple[list[dict[str, Any]], bool]]) -> None:
    for round_, (drawn, selected) in enumerate(rounds, start=1):
        put_round(store, round_)
        attempts = [
            rationale(
                f"{round_}-{index}",
                f"p{one['problem']}",
                one["origin"],
                sample=index,
                finish_reason=one["end"],
                norm_hash=f"text-{one['text']}",
                completion_tokens=one["tokens"],
            )
            for index, one in enumerate(drawn)
        ]
        verdicts = [
            verdict(f"{round_}-{index}", one["outcome"]) for index, one in enumerate(drawn) if one["outcome"]
        ]
        commit_rows(store, "generate", round_, {"rationales": attempts})
        commit_rows(store, "verify_generated", round_, {"verdicts": verdicts})
        if selected:
            _commit_selection(store, round_, drawn)


def _commit_selection(store: Store, round_: int, drawn: list[dict[str, Any]]) -> None:
    kept, rejections = [], []
    for index, one in enumerate(drawn):
        name, problem = f"{round_}-{index}", f"p{one['problem']}"
        if one["fate"] == "kept":
            kept.append(training_row(name, problem, one["origin"], round_))
        else:
            rejections.append({"rationale_id": name, "problem_id": problem, "reason": one["fate"]})
    commit_rows(store, "select", round_, {"training_rows": kept, "rejections": rejections})


@pytest.mark.slow
# An example is a store with its commits: shrinking one would take minutes.
@settings(max_examples=12, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(rounds=ROUNDS)
def test_reports_of_random_experiments_account_for_every_attempt_once(
    empty_home: Path, rounds: list[tuple[list[dict[str, Any]], bool]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(empty_home, Path(folder) / "home")
        store = Store(Home(Path(folder) / "home"))
        commit_rounds(store, rounds)

        def report(name: str, **parameters: Any) -> list[dict[str, Any]]:
            return store.rows(f"reports/{name}", experiment=EXPERIMENT, **parameters)

        made = Counter((n, one["origin"]) for n, (drawn, _) in enumerate(rounds, 1) for one in drawn)
        _yields_add_up(report("yield_by_round"), made)
        _fates_add_up(report("fates_by_round"), report("yield_by_round"), rounds)
        _texts_add_up(report("diversity_by_round"), made)
        _ends_and_lengths_add_up(report("cut_off_by_round"), report("lengths_by_round"), made, rounds)
        _solved_add_up(report("solved_by_round"), report("first_solved"))
        verdicts = sum(row["verdicts"] for row in report("verdict_reasons"))
        assert verdicts == sum(one["outcome"] is not None for drawn, _ in rounds for one in drawn)
        costs = {row["round"]: row for row in report("cost_by_round", **PricesSite(gpu_hour=1.0).parameters)}
        for number, (drawn, selected) in enumerate(rounds, 1):
            assert costs[number]["sampled_tokens"] == sum(one["tokens"] for one in drawn)
            assert costs[number]["kept"] == (sum(one["fate"] == "kept" for one in drawn) if selected else 0)


def _yields_add_up(rows: list[dict[str, Any]], made: Counter[tuple[int, str]]) -> None:
    assert {(row["round"], row["origin"]): row["attempts"] for row in rows} == dict(made)
    for row in rows:
        assert row["attempts"] == row["correct"] + row["wrong"] + row["ungraded"] + row["unverified"]
        assert row["kept"] <= row["attempts"] and row["problems_solved"] <= row["problems"]


def _fates_add_up(
    rows: list[dict[str, Any]],
    yields: list[dict[str, Any]],
    rounds: list[tuple[list[dict[str, Any]], bool]],
) -> None:
    for number, (drawn, selected) in enumerate(rounds, 1):
        fates = {row["fate"]: row["attempts"] for row in rows if row["round"] == number}
        assert sum(fates.values()) == len(drawn)
        wanted = Counter(one["fate"] for one in drawn) if selected else Counter(pending=len(drawn))
        assert fates == {fate: count for fate, count in wanted.items() if count}
        assert fates.get("kept", 0) == sum(row["kept"] for row in yields if row["round"] == number)


def _texts_add_up(rows: list[dict[str, Any]], made: Counter[tuple[int, str]]) -> None:
    assert {(row["round"], row["origin"]): row["attempts"] for row in rows} == dict(made)
    for row in rows:
        assert row["attempts"] == row["distinct_texts"] + row["repeats"]
        assert row["correct"] == row["distinct_correct"] + row["correct_repeats"]
        assert row["seen_before"] <= row["distinct_texts"] and row["collapsed"] <= row["several"]


def _ends_and_lengths_add_up(
    ends: list[dict[str, Any]],
    lengths: list[dict[str, Any]],
    made: Counter[tuple[int, str]],
    rounds: list[tuple[list[dict[str, Any]], bool]],
) -> None:
    assert {(row["round"], row["origin"]): row["attempts"] for row in ends} == dict(made)
    for row in ends:
        names = ("eos", "stop", "answer", "cut_off", "prompt_too_long")
        assert row["attempts"] == sum(row[name] for name in names)
    for (round_, origin), attempts in made.items():
        of_origin = [row for row in lengths if (row["round"], row["origin"]) == (round_, origin)]
        assert sum(row["attempts"] for row in of_origin) == attempts
        tokens = sum(one["tokens"] for one in rounds[round_ - 1][0] if one["origin"] == origin)
        assert sum(row["total_tokens"] for row in of_origin) == tokens


def _solved_add_up(by_round: list[dict[str, Any]], by_problem: list[dict[str, Any]]) -> None:
    for row in by_round:
        assert row["solved"] == row["first_solved"] + row["solved_again"]
        assert row["solved"] + row["forgotten"] <= row["attempted"]
        firsts = [one for one in by_problem if one["first_generated"] == row["round"]]
        assert row["first_solved"] == len(firsts)
        assert row["forgotten_since"] == sum(one["forgotten"] for one in firsts)
    if by_round:
        assert by_round[-1]["solved_so_far"] == sum(row["first_solved"] for row in by_round)
