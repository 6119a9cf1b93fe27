"""CommonsenseQA through every stage: with a tiny base that solves nothing, and with a script of closing sentences."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipeline.paths import Home
from tests.text_runs import ACCURACY, KEPT, UNTRAINED, Fate, TextRun, count, read_jsonl, wilson

pytestmark = pytest.mark.slow

TRAIN, DEV, EVAL = 80, 8, 12
KINDS = 8
BASE = "{kind: text, width: 64, layers: 2, heads: 2, ffn: 128, context: 512, vocabulary: 512, steps: 10, batch_size: 8}"


# --- with a tiny base ---


def test_commonsenseqa_with_a_base_that_solves_nothing_ends_with_a_statement_and_trains_nothing(
    tmp_path: Path, repository: Path, shared_data: Path
) -> None:
    settings = [
        f"problems.data_dir={shared_data / 'commonsenseqa'}", "problems.shuffle_choices=true",
        "prompts.few_shot=[]", "model.base=tiny", "model.revision=null", f"model.tiny={BASE}",
        "engine.kind=transformers", "engine.max_model_len=512", "engine.batch_size=16", "generate.problems=6",
        "generate.samples=2", "generate.max_tokens=16", "evaluate.limit=4", "verify.workers=1", "rounds=3",
        "decide.max_cut_off=1.0",
    ]  # fmt: skip
    run = TextRun(Home(tmp_path / "home"), repository / "configs" / "commonsenseqa.yaml", settings, "noise")
    reason = run.run()
    assert reason.startswith("nothing was kept in this round, so no model was trained; look at the attempts")
    assert run.rows("select split, count(*) from problems group by 1 order by 1") == [
        ("dev", 500), ("eval", 1221), ("train", 9241),
    ]  # fmt: skip
    assert run.rows("select max(round), count(*) from rounds") == [(1, 2)]
    assert run.rows("select count(*) from checkpoints") == [(0,)]
    assert run.rows("select count(*) from training_rows") == [(0,)]
    fates = run.fates()
    assert Counter(origin for _, origin, _ in fates) == {"generated": 12, "rationalized": 6}
    assert KEPT not in fates.values()
    measured = run.rows(ACCURACY)
    assert measured == [("dev", "zero_shot", 4, 0), ("eval", "zero_shot", 4, 0)]
    assert run.star("report", "noise").exit_code == 0
    assert "nothing was kept" in (run.home.reports("noise") / "index.html").read_text()
    assert run.star("check", "noise").exit_code == 0


# --- with a script of closing sentences ---


def _closing(problem: dict[str, Any], key: str, words: str = "The answer must fit.") -> str:
    return f"{words} Therefore, the answer is {problem['choices'][key]} ({key})."


def _alone(problem: dict[str, Any]) -> bool:
    """Whether no other choice reads as the right one but for its article: else the text alone settles nothing."""
    plain = [
        re.sub(r"^(the|an?)\s+|[^\w\s]", "", text.casefold()).strip() for text in problem["choices"].values()
    ]
    right = list(problem["choices"]).index(problem["answer"])
    return plain.count(plain[right]) == 1


Script = tuple[list[str], str, str, list[str], str]
"""Unaided texts, why they end, the hinted text, and what must become of each."""


def _written(kind: int, problem: dict[str, Any]) -> Script:
    gold = problem["answer"]
    other = next(key for key in "edcba" if key != gold)
    right, wrong = _closing(problem, gold), _closing(problem, other)
    another = _closing(problem, gold, "Nothing else fits.")
    alone = right.replace(f" ({gold})", "")
    unsure = wrong.replace(".", "", 1).removesuffix(".") + f" or {problem['choices'][gold]} ({gold})."
    repeated = [KEPT, "duplicate", "duplicate", "duplicate"]
    failed = ["wrong"] * 4
    cases: list[Script] = [
        ([right, another, right.upper(), wrong], "eos", "", [KEPT, KEPT, "duplicate", "wrong"], ""),
        ([alone] * 4, "eos", "", repeated if _alone(problem) else failed, ""),
        ([wrong] * 4, "eos", right, failed, KEPT),
        ([wrong] * 4, "eos", _closing(problem, gold, "It is (CORRECT), so it fits."), failed, "hint_leaked"),
        (["The answer must fit. What"] * 4, "length", right, ["cut_off"] * 4, KEPT),
        ([unsure] * 4, "eos", f"As the given answer shows, so it is. {right}", failed, "hint_leaked"),
        ([f"{right}\n\nQ: And now?\nAnswer Choices:\n({other}) this"] * 4, "length", "", repeated, ""),
        ([wrong] * 4, "eos", _closing(problem, other, "So it must be."), failed, "wrong"),
    ]
    return cases[kind]


Scripted = tuple[TextRun, dict[str, dict[str, Any]], dict[Fate, str], str]


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory, repository: Path, shared_data: Path) -> Scripted:
    """A whole run in two shards: the experiment, its train problems, the expected fates, why it ended."""
    home = Home(tmp_path_factory.mktemp("commonsenseqa") / "home")
    run = TextRun(home, repository / "configs" / "commonsenseqa.yaml", [], "closing")
    run.settings = [
        f"problems.data_dir={shared_data / 'commonsenseqa'}", f"problems.sources.train.limit={TRAIN + DEV}",
        f"problems.sources.dev.limit={EVAL}", f"problems.dev_from_train={DEV}", "problems.shuffle_choices=true",
        "model.base=tiny", "model.revision=null", f"model.tiny={UNTRAINED}", "engine.kind=scripted", "shards=2",
        f"engine.script={run.script_path}", "rounds=1", "train.epochs=1", "train.micro_batch_size=8",
        "train.learning_rate=1.0e-3", "train.max_length=512",
    ]  # fmt: skip
    run.run(until="prepare")
    problems = {problem["problem_id"]: problem for problem in run.problems("train")}
    expected: dict[Fate, str] = {}
    for index, (key, problem) in enumerate(problems.items()):
        unaided, finish, hinted, fates, hinted_fate = _written(index % KINDS, problem)
        run.says(key, "generated", unaided, finish)
        run.says(key, "rationalized", [hinted or "It was not asked for."])
        expected.update({(key, "generated", sample): fate for sample, fate in enumerate(fates)})
        if KEPT not in fates:
            expected[key, "rationalized", 0] = hinted_fate or "wrong"
    for split, every in (("dev", 2), ("eval", 4)):
        for index, problem in enumerate(run.problems(split)):
            key = problem["answer"] if index % every == 0 else next(k for k in "ab" if k != problem["answer"])
            run.says(problem["problem_id"], "evaluated", [_closing(problem, key)])
    return run, problems, expected, run.run()


def test_commonsenseqa_script_of_every_kind_meets_the_fate_that_its_text_deserves(scripted: Scripted) -> None:
    run, problems, expected, _ = scripted
    assert len(problems) == TRAIN
    fates = run.fates()
    assert fates.keys() == expected.keys()
    # Of two ways to say it one is kept, drawn by seed; the other is over the cap.
    assert {key: KEPT if fate == "over_problem_cap" else fate for key, fate in fates.items()} == expected
    per_kind = TRAIN // KINDS
    assert Counter(fates.values())["over_problem_cap"] == per_kind
    two = [key for index, key in enumerate(problems) if index % KINDS == 0]
    assert {fates[key, "generated", sample] for key in two for sample in (0, 1)} == {KEPT, "over_problem_cap"}
    assert {sample for key in two for sample in (0, 1) if fates[key, "generated", sample] == KEPT} == {0, 1}
    finishes = dict(
        run.rows("select finish_reason, count(*) from rationales where origin = 'generated' group by 1")
    )
    assert finishes == {"length": 4 * per_kind, "stop": 4 * per_kind, "eos": 6 * 4 * per_kind}


def test_commonsenseqa_summary_of_select_counts_what_the_script_gives(scripted: Scripted) -> None:
    run, _, expected, _ = scripted
    [(summary,)] = run.rows("select summary from stage_runs where stage = 'select' and status = 'done'")
    cap = TRAIN // KINDS
    kept = count(fate == KEPT for fate in expected.values()) - cap
    assert summary.startswith(f"{len(expected)} attempts: {kept} kept, {len(expected) - kept} left out (")
    for reason, number in Counter(expected.values()).items():
        assert reason == KEPT or f"{number} {reason}" in summary
    assert f"{cap} over_problem_cap" in summary
    assert f"; {kept} training rows (" in summary


def test_commonsenseqa_training_rows_are_the_canonical_prompt_the_text_and_one_end_token(
    scripted: Scripted,
) -> None:
    from transformers import AutoTokenizer

    run, problems, _, _ = scripted
    tokenizer = AutoTokenizer.from_pretrained(next(run.home.bases.glob("text-*")))
    rows = run.rows(
        "select t.problem_id, a.text, t.prompt, t.completion, t.input_ids, t.labels "
        "from training_rows as t join rationales as a using (rationale_id)"
    )
    assert len(rows) == count(fate == KEPT for fate in run.fates().values())
    for key, text, prompt, completion, input_ids, labels in rows:
        problem = problems[key]
        lines = [f"({letter}) {problem['choices'][letter]}" for letter in "abcde"]
        assert prompt == "\n".join([f"Q: {problem['question']}", "Answer Choices:", *lines, "A:"])
        assert "(CORRECT)" not in prompt + completion
        assert completion == f" {text}"
        question = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        written = [*tokenizer(completion, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        assert input_ids == question + written
        assert labels == [-100] * len(question) + written
        assert labels.count(tokenizer.eos_token_id) == 1


def test_commonsenseqa_shuffled_choices_keep_the_right_text(scripted: Scripted, shared_data: Path) -> None:
    run, problems, _, _ = scripted
    released = {row["id"]: row for row in read_jsonl(shared_data / "commonsenseqa" / "train.jsonl")}
    moved = 0
    for key, problem in problems.items():
        row = released[key]
        choices = {choice["label"].lower(): choice["text"] for choice in row["question"]["choices"]}
        assert problem["choices"][problem["answer"]] == choices[row["answerKey"].lower()]
        assert sorted(problem["choices"].values()) == sorted(choices.values())
        moved += problem["choices"] != choices
    assert moved > TRAIN // 2
    hints = run.rows("select problem_id, hint from rationales where origin = 'rationalized'")
    assert hints
    for key, hint in hints:
        problem = problems[key]
        assert hint == f"({problem['answer']}) {problem['choices'][problem['answer']]} (CORRECT)"


def test_commonsenseqa_evaluations_count_the_right_ones_in_every_round(scripted: Scripted) -> None:
    run, _, _, reason = scripted
    rows = run.rows(
        "select round, split, prompt_style, problems, correct, low, high from evaluations "
        "where metric = 'accuracy' and difficulty is null"
    )
    expected = {"dev": (DEV, DEV // 2), "eval": (EVAL, EVAL // 4)}
    styles = {(0, "zero_shot"), (0, "few_shot"), (1, "zero_shot")}
    assert {(row[0], row[2]) for row in rows} == styles
    assert len(rows) == len(styles) * 2
    for _, split, _, problems, correct, low, high in rows:
        assert (problems, correct) == expected[split]
        assert (low, high) == pytest.approx(wilson(correct, problems))
    assert reason.startswith("the one round is done; dev +0.0%")


def test_commonsenseqa_report_check_and_show_agree_with_the_script(scripted: Scripted) -> None:
    run, problems, _, _ = scripted
    check = run.star("check", "closing")
    assert check.exit_code == 0, check.output
    report = run.star("report", "closing")
    assert report.exit_code == 0, report.output
    page = (run.home.reports("closing") / "index.html").read_text()
    reasons = Counter(run.fates().values())
    for reason in reasons.keys() - {KEPT}:
        assert f"<td>{reason.replace('_', ' ')}</td><td>{reasons[reason]}</td>" in page, reason
    key = next(iter(problems))
    shown = run.star("show", "closing", "--problem", key, "--origin", "generated")
    assert shown.exit_code == 0, shown.output
    words = " ".join(shown.output.split())
    assert " ".join(problems[key]["question"].split()) in words
    assert _closing(problems[key], problems[key]["answer"]) in words


def test_commonsenseqa_model_and_rows_can_be_exported_and_forked(scripted: Scripted, tmp_path: Path) -> None:
    run, _, _, _ = scripted
    exported = run.star(
        "export", "closing", "--what", "training", "--round", "1", "--to", str(tmp_path / "rows")
    )
    assert exported.exit_code == 0, exported.output
    forked = run.star("fork", "closing", "closing-two", "--from-round", "1", "--set", "select.per_problem=2")
    assert forked.exit_code == 0, forked.output
    assert run.rows("select max(round) from rounds where experiment = 'closing-two'") == [(1,)]
    assert run.star("check", "closing-two").exit_code == 0
