"""`star status`, `show`, `check`, `sql` on an experiment up to its first selection, one of its texts hostile."""

import contextlib
import csv
import io
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.paths import Home, package_data
from pipeline.store import Store
from tests.cli.test_app import invoke
from tests.experiments import NAME, star

CONTROLS = ("\x1b", "\x07", "\u202e")


@pytest.fixture
def home(selected: Path) -> Path:
    return selected / "home"


def test_status_lists_experiments_with_their_state(home: Path) -> None:
    code, told, _ = invoke("status", home=home)
    assert code == 0
    assert NAME in told and "paused" in told
    code, told, _ = invoke("status", "--json", home=home)
    (row,) = json.loads(told)
    assert (row["experiment"], row["state"], row["last_stage"], row["held_by"]) == (
        NAME,
        "paused",
        "select",
        None,
    )


def test_status_of_an_experiment_shows_rounds_and_stages(home: Path) -> None:
    code, told, _ = invoke("status", NAME, "--json", home=home)
    shown = json.loads(told)
    assert code == 0
    states = {stage["stage"]: stage["state"] for stage in shown["stages"]}
    assert states["select"] == states["generate"] == "done"
    assert states["train"] == "waiting"
    assert [row["training_rows"] for row in shown["rounds"]] == [0, 3]
    generate = next(stage for stage in shown["stages"] if stage["stage"] == "generate")
    assert generate["engine_tokens"] > 0 and generate["peak_memory"] > 50
    assert generate["engine_seconds"] < generate["seconds"]
    code, told, _ = invoke("status", NAME, home=home)
    assert "3 kept, 13 left out" in told
    assert "seconds  tokens/s  engine" in told


def test_status_names_the_holder_of_a_lease(home: Path) -> None:
    with Store(Home(home)).lease(NAME, "a test"):
        code, told, _ = invoke("status", NAME, home=home)
        assert (code, "held by: a test by process" in told) == (0, True)
        refused, _, said = invoke("run", NAME, home=home)
        assert (refused, "is being run: a test by process" in said) == (75, True)
    _, told, _ = invoke("status", NAME, home=home)
    assert "held by" not in told


def test_status_shows_an_experiment_that_has_recorded_nothing_yet(home: Path) -> None:
    with Store(Home(home)).lease("fresh", "star run"):
        (first, second) = json.loads(invoke("status", "--json", home=home)[1])
        assert (first["experiment"], first["state"], second["experiment"]) == ("fresh", "starting", NAME)
        assert "star run by process" in invoke("status", home=home)[1]


def test_status_calls_stale_what_lies_downstream_of_a_changed_output(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path / "home")
    with Store(Home(tmp_path / "home")).transaction() as connection:
        connection.execute("UPDATE commits SET output_digest = 'ff' WHERE stage = 'verify_generated'")
    shown = json.loads(invoke("status", NAME, "--json", home=tmp_path / "home")[1])
    states = {stage["stage"]: stage["state"] for stage in shown["stages"]}
    assert [states[name] for name in ("prepare", "generate", "verify_generated")] == ["done"] * 3
    assert [states[name] for name in ("rationalize", "verify_rationalized", "select")] == ["stale"] * 3


def test_status_of_an_unknown_experiment_lists_those_there_are(home: Path) -> None:
    code, _, said = invoke("status", "nobody", home=home)
    assert (code, f"there are: {NAME}" in said) == (66, True)


def test_show_tells_verdict_and_fate_and_obeys_nothing_that_a_model_wrote(home: Path) -> None:
    code, told, _ = invoke("show", NAME, "--problem", "p0", home=home)
    assert code == 0
    assert "kept" in told and "over_problem_cap" in told
    assert "red <script>alert('x')</script>" in told
    assert not any(control in told for control in CONTROLS)


def test_show_says_the_verdict_once_where_it_is_why_an_attempt_was_left_out(home: Path) -> None:
    _, told, _ = invoke("show", NAME, "--fate", "wrong", "--limit", "1", home=home)
    head = told.splitlines()[0]
    assert head.startswith("round 1 ") and head.count("wrong") == 1


def test_show_narrows_down_by_fate_origin_and_outcome(home: Path) -> None:
    rows = [
        json.loads(line)
        for line in invoke("show", NAME, "--fate", "cut_off", "--json", home=home)[1].splitlines()
    ]
    assert {row["problem_id"] for row in rows} == {"p3"}
    assert {row["fate"] for row in rows} == {"cut_off"}
    told = invoke("show", NAME, "--origin", "rationalized", "--outcome", "correct", "--json", home=home)[1]
    (row,) = [json.loads(line) for line in told.splitlines()]
    assert (row["problem_id"], row["fate"], row["hint"]) == ("p2", "kept", " (5)")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--outcome", "good"], 64, "expected one of correct, wrong, ungraded"),
        (["--problem", "nothing"], 66, "no problem begins with 'nothing'"),
        (["--problem", "p"], 66, "6 problems begin with 'p'"),
        (["--fate", "hint_leaked"], 0, "no attempt fits"),
        (["--fate", "leaked"], 64, "--fate 'leaked': expected one of kept, pending, exemplar,"),
    ],
)
def test_show_says_why_there_is_nothing(home: Path, arguments: list[str], code: int, words: str) -> None:
    found, _, said = invoke("show", NAME, *arguments, home=home)
    assert (found, words in said) == (code, True)


def test_check_passes_every_invariant_and_leaves_with_70_when_one_is_broken(
    home: Path, tmp_path: Path
) -> None:
    code, told, said = invoke("check", home=home)
    assert (code, "FAILED" in told, "0 offending rows" in said) == (0, False, True)
    shutil.copytree(home, tmp_path / "home")
    with Store(Home(tmp_path / "home")).transaction() as connection:
        connection.execute("UPDATE training_rows SET prompt = 'another' WHERE problem_id = 'p1'")
        connection.execute("UPDATE verdicts SET outcome = 'wrong'")
    code, told, _ = invoke("check", NAME, home=tmp_path / "home")
    assert (code, "FAILED" in told) == (70, True)
    offences = json.loads(invoke("check", "--json", home=tmp_path / "home")[1])
    assert "training_row_without_correct_verdict" in {offence["check"] for offence in offences}


def test_sql_answers_in_three_formats(home: Path) -> None:
    query = "select problem_id, text from current_rationales where problem_id in ('p0', 'p1') order by all"
    asked = json.loads(invoke("sql", query, "--format", "json", home=home)[1])
    assert [row["problem_id"] for row in asked] == ["p0", "p0", "p1", "p1"]
    table = invoke("sql", query, home=home)[1]
    assert "problem_id" in table and not any(control in table for control in CONTROLS)
    (names, *rows) = csv.reader(io.StringIO(star("sql", query, "--format", "csv", home=home).stdout))
    assert names == ["problem_id", "text"]
    assert [row[1] for row in rows] == [row["text"] for row in asked]


@pytest.mark.parametrize(
    "query",
    [
        "delete from rationales",
        "create table mine as select 1",
        "copy rationales to 'x.csv'",
        "select * from read_csv('/etc/passwd')",
        "attach 'x.duckdb'",
        "set enable_external_access = true",
    ],
)
def test_sql_that_writes_or_leaves_the_store_is_refused(home: Path, query: str) -> None:
    before = invoke("sql", "select count(*) from rationales", "--json", home=home)[1]
    code, told, said = invoke("sql", query, home=home)
    assert (code, told) == (65, "")
    assert "query failed" in said
    assert invoke("sql", "select count(*) from rationales", "--json", home=home)[1] == before


def test_sql_that_names_no_table_is_told_which_there_are(home: Path) -> None:
    code, told, said = invoke("sql", "select * from rationale", home=home)
    assert (code, told) == (65, "")
    assert "Table with name rationale does not exist" in said
    assert "attempt_fates, bad_problems, checkpoint_lineage" in said


@pytest.mark.parametrize(("rows", "words"), [(1, "1 row\n"), (2, "2 rows\n")])
def test_sql_counts_one_row_in_the_singular(home: Path, tmp_path: Path, rows: int, words: str) -> None:
    query = f"select * from range({rows})"
    assert invoke("sql", query, home=home)[2] == words
    out = str(tmp_path / "rows.csv")
    assert invoke("sql", query, "--format", "csv", "--out", out, home=home)[2].startswith(
        f"wrote {words.strip()} to"
    )


def test_sql_writes_parquet_and_csv_to_files(home: Path, tmp_path: Path) -> None:
    query = "select rationale_id, text, sampling, created_at from current_rationales order by 1"
    code, told, said = invoke(
        "sql", query, "--format", "parquet", "--out", str(tmp_path / "x.parquet"), home=home
    )
    table = pq.read_table(tmp_path / "x.parquet")
    asked = json.loads(invoke("sql", query, "--json", home=home)[1])
    assert (code, told, f"wrote {len(asked)} rows" in said) == (0, "", True)
    assert table.column("text").to_pylist() == [row["text"] for row in asked]
    assert invoke("sql", query, "--format", "csv", "--out", str(tmp_path / "x.csv"), home=home)[0] == 0
    with (tmp_path / "x.csv").open(newline="") as file:
        assert [row["text"] for row in csv.DictReader(file)] == [row["text"] for row in asked]


def test_sql_limit_holds_in_every_format(home: Path, tmp_path: Path) -> None:
    query = "select rationale_id from current_rationales"
    assert len(json.loads(invoke("sql", query, "--json", "--limit", "3", home=home)[1])) == 3
    assert len(invoke("sql", query, "--format", "csv", "--limit", "3", home=home)[1].splitlines()) == 4
    assert "3 rows, and more" in invoke("sql", query, "--limit", "3", home=home)[2]
    out = tmp_path / "x.parquet"
    assert invoke("sql", query, "--format", "parquet", "--out", str(out), "--limit", "3", home=home)[0] == 0
    assert pq.read_table(out).num_rows == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--format", "parquet"], "name a file with --out FILE"),
        (["--out", "x.txt"], "--format csv, json or parquet"),
        (["--format", "csv", "--out", "nowhere/x.csv"], "nowhere is no folder"),
    ],
)
def test_sql_says_where_rows_can_go(home: Path, arguments: list[str], words: str) -> None:
    code, told, said = invoke("sql", "select 1", *arguments, home=home)
    assert (code, told) == (2, "")
    assert words in " ".join(said.replace("│", " ").split())


def test_sql_goes_through_the_pager_on_a_terminal_and_not_into_a_pipe(home: Path) -> None:
    query = "select problem_id, text from current_rationales where problem_id = 'p0'"
    command = [sys.executable, "-m", "pipeline", "--home", str(home), "sql", query]
    told = _on_a_terminal(command, {"PAGER": "sed s/^/paged:/"})
    assert "paged:" in told and not any(control in told for control in CONTROLS)
    assert "paged:" not in star("sql", query, home=home, env={"PAGER": "sed s/^/paged:/"}).stdout


def _on_a_terminal(command: list[str], env: dict[str, str]) -> str:
    """What a command writes to the terminal it runs on; its messages are left out."""
    ours, its = pty.openpty()
    with subprocess.Popen(
        command, stdin=its, stdout=its, stderr=subprocess.DEVNULL, env={**os.environ, **env, "NO_COLOR": "1"}
    ) as process:
        os.close(its)
        told = b""
        with contextlib.suppress(OSError):  # the other end was closed
            while piece := os.read(ours, 65536):
                told += piece
        process.wait(60)
    os.close(ours)
    return told.decode()


def test_reports_are_listed_with_what_a_row_is(home: Path) -> None:
    code, told, _ = invoke("reports", home=home)
    assert code == 0
    assert re.search(r"^yield_by_round +round and origin of the attempts to train on$", told, re.M)
    listed = {row["report"]: row for row in json.loads(invoke("reports", "--json", home=home)[1])}
    assert listed["cost_by_round"]["parameters"] == [
        "experiment",
        "gpu_hour",
        "million_completion_tokens",
        "million_prompt_tokens",
    ]
    files = {file.stem for file in (package_data("sql") / "reports").glob("*.sql")}
    assert set(listed) == files and all(row["grain"] for row in listed.values())


def test_every_report_answers(home: Path) -> None:
    listed = json.loads(invoke("reports", "--json", home=home)[1])
    for row in listed:
        round_ = ["--round", "1"] if "round" in row["parameters"] else []
        code, told, said = invoke("reports", row["report"], NAME, *round_, "--json", home=home)
        assert code == 0, said
        assert isinstance(json.loads(told), list)


def test_report_rows_are_those_of_its_query(home: Path) -> None:
    told = invoke("reports", "yield_by_round", NAME, "--json", home=home)[1]
    assert json.loads(told) == Store(Home(home)).rows("reports/yield_by_round", experiment=NAME)
    told = invoke("reports", "training_lineage", NAME, "--round", "1", home=home)[1]
    assert "<script>" in told and not any(control in told for control in CONTROLS)


def rounded(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sums of floats depend on their order in the last digits."""
    return [
        {key: round(value, 9) if isinstance(value, float) else value for key, value in row.items()}
        for row in rows
    ]


def test_report_by_round_gives_the_rows_of_one_round(home: Path) -> None:
    asked = 0
    for row in json.loads(invoke("reports", "--json", home=home)[1]):
        if not row["grain"].startswith("round") or "round" in row["parameters"]:
            continue
        whole = json.loads(invoke("reports", row["report"], NAME, "--json", home=home)[1])
        code, told, said = invoke("reports", row["report"], NAME, "--round", "1", "--json", home=home)
        assert code == 0, said
        assert rounded(json.loads(told)) == rounded(each for each in whole if each["round"] == 1)
        asked += 1
    assert asked > 15


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["yield_by_round"], 2, "star reports yield_by_round EXPERIMENT"),
        (["yield"], 74, "no query 'reports/yield'"),
        (["yield", NAME], 74, "no query 'reports/yield'"),
        (["../checks/duplicate_keys", NAME], 74, "is not valid"),
        (["yield_by_round", "nobody"], 66, f"there are: {NAME}"),
        (["training_lineage", NAME], 64, "name it with --round N"),
        (["first_solved", NAME, "--round", "1"], 64, "has no parameter round; it takes experiment"),
        (["yield_by_round", NAME, "--gpu-hour", "2"], 64, "has no parameter gpu_hour; it takes experiment"),
    ],
)
def test_reports_say_what_they_need(home: Path, arguments: list[str], code: int, words: str) -> None:
    found, told, said = invoke("reports", *arguments, home=home)
    assert (found, told) == (code, "")
    assert words in " ".join(said.replace("│", " ").split())


def test_reports_take_the_price_of_a_gpu_hour_from_the_site(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path / "home")
    (tmp_path / "home" / "site.yaml").write_text("prices: {gpu_hour: 3}\n")
    with Store(Home(tmp_path / "home")).transaction() as connection:
        connection.execute(
            "UPDATE stage_runs SET device = 'NVIDIA H100', seconds = 3600 WHERE round = 1 AND stage = 'generate'"
        )
    command = ["reports", "cost_by_round", NAME, "--json"]
    assert json.loads(invoke(*command, home=tmp_path / "home")[1])[1]["money"] == 3.0
    assert json.loads(invoke(*command, "--gpu-hour", "2", home=tmp_path / "home")[1])[1]["money"] == 2.0
    assert json.loads(invoke(*command, home=home)[1])[1]["money"] is None


def test_reports_price_tokens_that_were_bought_and_no_others(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path / "home")
    prices = "{million_prompt_tokens: 1000000, million_completion_tokens: 2000000}"
    (tmp_path / "home" / "site.yaml").write_text(f"prices: {prices}\n")
    command = ["reports", "cost_by_round", NAME, "--json"]
    assert json.loads(invoke(*command, home=tmp_path / "home")[1])[0]["money"] == 0
    with Store(Home(tmp_path / "home")).transaction() as connection:
        connection.execute("UPDATE rationales SET model_hash = 'endpoint:large@0123456789ab' WHERE round = 0")
    row = json.loads(invoke(*command, home=tmp_path / "home")[1])[0]
    assert row["evaluated_tokens"] > 0
    assert row["money"] == row["sent_tokens"] + 2 * row["evaluated_tokens"]
