"""GSM8K through every stage: with a tiny base that solves nothing, and with its gold solutions as a script."""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path

import pytest

from pipeline.paths import Home
from tests.text_runs import ACCURACY, KEPT, UNTRAINED, Fate, TextRun, count, read_jsonl, wilson

pytestmark = pytest.mark.slow

TRAIN, DEV, EVAL = 90, 10, 10
MAX_LENGTH = 420
SHARE = 0.1
BASE = "{kind: text, width: 64, layers: 2, heads: 2, ffn: 128, context: 1024, vocabulary: 512, steps: 30, batch_size: 8}"


# --- with a tiny base ---


def test_gsm8k_with_a_base_that_solves_nothing_ends_with_a_statement_and_trains_nothing(
    tmp_path: Path, repository: Path, shared_data: Path
) -> None:
    settings = [
        f"problems.data_dir={shared_data / 'gsm8k'}", "problems.exemplars_from_train=1", "prompts.few_shot=[]",
        "model.base=tiny", "model.revision=null", f"model.tiny={BASE}", "engine.kind=transformers",
        "engine.max_model_len=1024", "engine.batch_size=16", "generate.problems=6", "generate.samples=2",
        "generate.max_tokens=24", "evaluate.limit=4", "verify.workers=1", "rounds=3",
    ]  # fmt: skip
    run = TextRun(Home(tmp_path / "home"), repository / "configs" / "gsm8k.yaml", settings, "noise")
    reason = run.run()
    assert "nothing was kept in this round, so no model was trained; look at the attempts" in reason
    assert run.rows("select split, count(*) from problems where experiment = 'noise' group by 1 order by 1") == [
        ("dev", 500), ("eval", 1319), ("train", 6962),
    ]  # fmt: skip
    assert run.rows("select max(round), count(*) from rounds") == [(1, 2)]
    assert run.rows("select count(*) from checkpoints") == [(0,)]
    assert run.rows("select count(*) from training_rows") == [(0,)]
    fates = run.fates()
    assert Counter(origin for _, origin, _ in fates) == {"generated": 12, "rationalized": 12}
    assert KEPT not in fates.values()
    measured = run.rows(ACCURACY)
    assert measured == [
        (split, style, 4, 0) for split in ("dev", "eval") for style in ("few_shot", "zero_shot")
    ]
    report = run.star("report", "noise")
    assert report.exit_code == 0, report.output
    assert "nothing was kept" in (run.home.reports("noise") / "index.html").read_text()
    assert run.star("check", "noise").exit_code == 0


# --- with the gold solutions as a script ---


def _solutions(folder: Path) -> dict[str, str]:
    """The gold solutions by question, without calculator marks."""
    rows = read_jsonl(folder / "train.jsonl") + read_jsonl(folder / "test.jsonl")
    return {row["question"]: re.sub(r"<<[^<>]*>>", "", row["answer"]).strip() for row in rows}


def _with_answer(solution: str, line: str) -> str:
    return "\n".join([*solution.splitlines()[:-1], line])


def _wrong(solution: str) -> str:
    gold = int(solution.rpartition("#### ")[2].replace(",", ""))
    return _with_answer(solution, f"#### {gold + 1}")


def _boxed(solution: str) -> str:
    return _with_answer(solution, f"So the answer is \\boxed{{{solution.rpartition('#### ')[2]}}}.")


Texts = tuple[list[str], str, list[str]]
"""What is written unaided, why it ends, what is written with the hint."""


def _written(kind: int, solution: str) -> tuple[Texts, tuple[list[str], list[str]]]:
    """What a problem of `kind` gets, and what must become of it: unaided samples, then hinted ones."""
    wrong = _wrong(solution)
    check, again = f"As a check, 7 + 1 = 8.\n{solution}", f"As a check, 7 * 2 = 14.\n{solution}"
    unsolved = ["wrong"] * 4
    cases: list[tuple[Texts, tuple[list[str], list[str]]]] = [
        (
            ([solution, solution.upper(), wrong, wrong], "eos", []),
            ([KEPT, "duplicate", "wrong", "wrong"], []),
        ),
        (([solution, check, wrong, wrong], "eos", []), ([KEPT, KEPT, "wrong", "wrong"], [])),
        (
            ([solution, f"Let us think.\n{solution}", wrong, wrong], "eos", []),
            ([KEPT, "duplicate", "wrong", "wrong"], []),
        ),
        (
            ([solution, check, again, wrong], "eos", []),
            ([KEPT, KEPT, "over_problem_cap", "wrong"], []),
        ),
        (
            ([solution.rpartition("\n")[0] or "It"] * 4, "length", [solution, solution.lower()]),
            (["cut_off"] * 4, [KEPT, "duplicate"]),
        ),
        (
            ([f"{solution}\n\nQ: And now?\nA: Nothing.\n#### 5"] * 4, "length", []),
            ([KEPT, *["duplicate"] * 3], []),
        ),
        (([_boxed(solution)] * 4, "eos", []), ([KEPT, *["duplicate"] * 3], [])),
        (
            ([wrong] * 4, "eos", [solution, f"As the hint says, it is so.\n{solution}"]),
            (unsolved, [KEPT, "hint_leaked"]),
        ),
        (
            ([wrong] * 4, "eos", [f"The one marked (CORRECT).\n{solution}", wrong]),
            (unsolved, ["hint_leaked", "wrong"]),
        ),
        ((["I cannot tell."] * 4, "eos", ["I cannot tell, even so."] * 2), (unsolved, ["wrong", "wrong"])),
    ]
    return cases[kind]


KINDS = 10


@pytest.fixture(scope="module")
def scripted(
    tmp_path_factory: pytest.TempPathFactory, repository: Path, shared_data: Path
) -> tuple[TextRun, dict[str, str], dict[Fate, str], str]:
    """A whole run of one round: the experiment, the gold solutions, the expected fates, the reason it ended."""
    home = Home(tmp_path_factory.mktemp("gsm8k") / "home")
    run = TextRun(home, repository / "configs" / "gsm8k.yaml", [], "gold")
    run.settings = [
        f"problems.data_dir={shared_data / 'gsm8k'}", f"problems.sources.train.limit={TRAIN + DEV}",
        f"problems.sources.test.limit={EVAL}", f"problems.dev_from_train={DEV}",
        "model.base=tiny", "model.revision=null", f"model.tiny={UNTRAINED}", "engine.kind=scripted",
        f"engine.script={run.script_path}", "rounds=2", "decide.patience=1", f"select.max_rationalized_share={SHARE}",
        f"train.max_length={MAX_LENGTH}", "train.epochs=1", "train.micro_batch_size=8", "train.learning_rate=1.0e-3",
    ]  # fmt: skip
    run.run(until="prepare")
    solutions = _solutions(shared_data / "gsm8k")
    expected: dict[Fate, str] = {}
    for index, problem in enumerate(run.problems("train")):
        key = problem["problem_id"]
        (unaided, finish, hinted), fates = _written(index % KINDS, solutions[problem["question"]])
        run.says(key, "generated", unaided, finish)
        if hinted:
            run.says(key, "rationalized", hinted)
        for origin, reasons in zip(("generated", "rationalized"), fates, strict=True):
            expected.update({(key, origin, sample): reason for sample, reason in enumerate(reasons)})
    for split, every in (("dev", 2), ("eval", 5)):
        for index, problem in enumerate(run.problems(split)):
            solution = solutions[problem["question"]]
            run.says(
                problem["problem_id"], "evaluated", [solution if index % every == 0 else _wrong(solution)]
            )
    reason = run.run()
    return run, solutions, expected, reason


Scripted = tuple[TextRun, dict[str, str], dict[Fate, str], str]


def test_gsm8k_script_of_every_kind_meets_the_fate_that_its_text_deserves(scripted: Scripted) -> None:
    run, _, expected, _ = scripted
    fates = run.fates()
    late = {"over_rationalized_share", "row_too_long"}  # the set as a whole, and its tokens: the tests below
    assert fates.keys() == expected.keys()
    assert {key: KEPT if fate in late else fate for key, fate in fates.items()} == expected
    finishes = dict(
        run.rows("select finish_reason, count(*) from rationales where origin = 'generated' group by 1")
    )
    per_kind = TRAIN // KINDS
    assert finishes["length"] == 4 * per_kind
    assert finishes["answer"] == 4 * per_kind
    assert finishes["eos"] == 8 * 4 * per_kind


def test_gsm8k_rationalized_rows_stay_below_their_share(scripted: Scripted) -> None:
    run, _, expected, _ = scripted
    unaided = count(fate == KEPT and key[1] == "generated" for key, fate in expected.items())
    hinted = count(fate == KEPT and key[1] == "rationalized" for key, fate in expected.items())
    most = math.floor(SHARE * unaided / (1 - SHARE))
    assert (unaided, hinted, most) == (72, 18, 8)
    over = [key for key, fate in run.fates().items() if fate == "over_rationalized_share"]
    assert len(over) == hinted - most
    assert {origin for _, origin, _ in over} == {"rationalized"}


def test_gsm8k_training_rows_are_the_canonical_prompt_the_text_and_one_end_token(scripted: Scripted) -> None:
    from transformers import AutoTokenizer

    run, _, _, _ = scripted
    tokenizer = AutoTokenizer.from_pretrained(next(run.home.bases.glob("text-*")))
    questions = {problem["problem_id"]: problem["question"] for problem in run.problems("train")}
    texts: dict[str, tuple[Fate, str]] = {
        key: ((problem, origin, sample), text)
        for key, problem, origin, sample, text in run.rows(
            "select rationale_id, problem_id, origin, sample, text from rationales where purpose = 'training'"
        )
    }
    fates = run.fates()
    rows = run.rows("select rationale_id, prompt, completion, tokens, input_ids, labels from training_rows")
    assert {texts[row[0]][0] for row in rows} == {key for key, fate in fates.items() if fate == KEPT}
    for rationale, prompt, completion, tokens, input_ids, labels in rows:
        (problem, _, _), text = texts[rationale]
        assert prompt == f"Q: {questions[problem]}\nA:"
        assert completion == f" {text}"
        question = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        written = [*tokenizer(completion, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        assert input_ids == question + written
        assert labels == [-100] * len(question) + written
        assert labels.count(tokenizer.eos_token_id) == 1
        assert tokens == len(input_ids) <= MAX_LENGTH
    longer = {key for key, fate in fates.items() if fate == "row_too_long"}
    assert longer
    for (problem, origin, sample), text in texts.values():
        if (problem, origin, sample) in longer:
            row = tokenizer(f"Q: {questions[problem]}\nA:")["input_ids"] + tokenizer(f" {text}")["input_ids"]
            assert len(row) + 1 > MAX_LENGTH


def test_gsm8k_trained_texts_are_gold_solutions_cut_after_their_answer(scripted: Scripted) -> None:
    run, solutions, _, _ = scripted
    rows = run.rows(
        "select question, completion from training_rows join problems using (experiment, problem_id) "
        "where training_rows.origin = 'generated' and sample = 0"
    )
    assert len(rows) > 20
    for question, completion in rows:
        solution = solutions[question]
        assert completion in (f" {solution}", f" {_boxed(solution)}")


def test_gsm8k_hints_are_the_gold_answer_and_never_its_solution(scripted: Scripted) -> None:
    run, solutions, _, _ = scripted
    rows = run.rows(
        "select question, hint, prompts.text from rationales join prompts using (prompt_hash) "
        "join problems using (experiment, problem_id) where origin = 'rationalized'"
    )
    assert len(rows) == 2 * 4 * TRAIN // KINDS
    for question, hint, prompt in rows:
        solution = solutions[question]
        assert hint == f" ({solution.rpartition('#### ')[2]})"
        assert prompt.endswith(f"Q: {question}{hint}\nA:")
        assert solution.partition("\n")[0] not in prompt


def test_gsm8k_evaluations_count_the_right_ones_in_every_round(scripted: Scripted) -> None:
    run, _, _, reason = scripted
    rows = run.rows(
        "select round, split, prompt_style, problems, correct, value, low, high from evaluations "
        "where metric = 'accuracy' and difficulty is null"
    )
    right = {"dev": DEV // 2, "eval": EVAL // 5}
    styles = {(0, "zero_shot"), (0, "few_shot"), (1, "zero_shot")}
    assert {(row[0], row[2]) for row in rows} == styles
    assert len(rows) == len(styles) * 2
    for _, split, _, problems, correct, value, low, high in rows:
        assert (problems, correct) == (10, right[split])
        assert value == pytest.approx(correct / 10)
        assert (low, high) == pytest.approx(wilson(correct, 10))
    assert reason.startswith("the best dev accuracy rose by +0.0% in the last 1 round")


def test_gsm8k_checkpoint_saw_every_training_row(scripted: Scripted) -> None:
    run, _, _, _ = scripted
    [(rows, steps, epochs, tokens, path)] = run.rows(
        "select rows, steps, epochs, tokens, path from checkpoints"
    )
    [(stored, total)] = run.rows("select count(*), sum(tokens) from training_rows")
    assert rows == stored
    assert steps == math.ceil(stored / 64)
    assert epochs == pytest.approx(steps * 64 / stored)
    assert total > 0
    assert tokens > 0
    assert list(run.home.absolute(path).glob("*.safetensors"))


def test_gsm8k_report_check_and_show_agree_with_the_script(scripted: Scripted) -> None:
    run, _, _, _ = scripted
    check = run.star("check", "gold")
    assert check.exit_code == 0, check.output
    report = run.star("report", "gold")
    assert report.exit_code == 0, report.output
    page = (run.home.reports("gold") / "index.html").read_text()
    reasons = Counter(run.fates().values())
    for reason in reasons.keys() - {KEPT}:
        assert f"<td>{reason.replace('_', ' ')}</td><td>{reasons[reason]}</td>" in page, reason
    assert list(run.home.reports("gold").glob("*.png"))
    shown = run.star("show", "gold", "--fate", "hint_leaked", "--limit", "100", "--json")
    assert shown.exit_code == 0, shown.output
    assert len(shown.output.strip().splitlines()) == reasons["hint_leaked"] == 2 * TRAIN // KINDS


COMMITS = """
    select stage, round, table_name, count(*), max(committed_at) from commits
    where stage not in ('check', 'decide') group by all order by all
"""


def test_gsm8k_finished_run_is_not_done_again(scripted: Scripted) -> None:
    run, _, _, reason = scripted
    before = run.rows(COMMITS)
    assert run.run() == reason
    assert run.rows(COMMITS) == before
