"""GSM8K and CommonsenseQA with their checked-in configs, where the data lies beside the checkout."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import ExperimentConfig, load_config
from pipeline.graders import open_grading
from pipeline.problems import ProblemSet, load_problems
from pipeline.prompts import PromptBook, cut_text
from pipeline.records import FinishReason, GradeItem, Outcome, Problem, RejectionReason, Split

Loaded = tuple[ExperimentConfig, ProblemSet]


def _load(repository: Path, folder: Path, *overrides: str) -> Loaded:
    settings = [f"problems.data_dir={folder}", *overrides]
    config = load_config(repository / "configs" / f"{folder.name}.yaml", settings).config
    return config, load_problems(config)


@pytest.fixture(scope="module")
def gsm8k(repository: Path, shared_data: Path) -> Loaded:
    return _load(repository, shared_data / "gsm8k")


@pytest.fixture(scope="module")
def commonsenseqa(repository: Path, shared_data: Path) -> Loaded:
    return _load(repository, shared_data / "commonsenseqa")


def _splits(loaded: ProblemSet) -> Counter[Split]:
    return Counter(problem.split for problem in loaded.problems)


def _graded(config: ExperimentConfig, texts: list[tuple[Problem, str]]) -> Counter[Outcome]:
    items = [GradeItem(one.problem_id, one.answer, text, one.question, one.choices) for one, text in texts]
    with open_grading(config.verify.grader, 1) as grading:
        return Counter(verdict.outcome for verdict in grading.grade(items))


def test_gsm8k_every_row_is_accounted_for(gsm8k: Loaded) -> None:
    _, loaded = gsm8k
    assert _splits(loaded) == {Split.TRAIN: 6963, Split.DEV: 500, Split.EVAL: 1319}
    assert Counter(one.reason for one in loaded.rejections) == {RejectionReason.CONTAMINATED: 10}
    assert not loaded.bad
    assert loaded.notes == [
        "7,473 rows read from train.jsonl (source train): 7,473 problems, 0 bad",
        "1,319 rows read from test.jsonl (source test): 1,319 problems, 0 bad",
        "train: 7,473 problems read, 0 left out as exemplars, 10 contaminated, 500 moved to dev: 6,963 left",
        "dev: 500 problems",
        "eval: 1,319 problems",
    ]


def test_gsm8k_every_gold_solution_is_graded_correct(gsm8k: Loaded) -> None:
    config, loaded = gsm8k
    solved = [(problem, problem.solution or "") for problem in loaded.problems]
    assert _graded(config, solved) == {Outcome.CORRECT: 6963 + 500 + 1319}


def test_gsm8k_gold_solutions_survive_cutting_whole(gsm8k: Loaded) -> None:
    config, loaded = gsm8k
    for problem in loaded.problems:
        assert problem.solution is not None and "<<" not in problem.solution
        written = f" {problem.solution}\n\nQ: More"
        cut = cut_text(written, FinishReason.LENGTH, config.generate.stop, config.prompts.answer_line)
        assert cut == (problem.solution, FinishReason.ANSWER)


def test_gsm8k_hinted_prompts_show_the_answer_and_no_solution(gsm8k: Loaded) -> None:
    config, loaded = gsm8k
    book = PromptBook(config.prompts, loaded.exemplars, loaded.hinted_exemplars, None)
    for problem in loaded.problems[:300]:
        prompt = book.hinted(problem, few_shot=False)
        assert prompt.hint == f" ({problem.answer})"
        assert prompt.text == f"Q: {problem.question} ({problem.answer})\nA:"
        assert prompt.hint not in book.canonical(problem).text


def test_gsm8k_exemplars_can_be_drawn_from_train(repository: Path, shared_data: Path) -> None:
    settings = ["problems.exemplars_from_train=8", "prompts.few_shot=[]"]
    _, loaded = _load(repository, shared_data / "gsm8k", *settings)
    assert len(loaded.exemplars) == 8
    assert all(one.rationale.splitlines()[-1] == f"#### {one.answer}" for one in loaded.exemplars)
    exemplars = [one for one in loaded.rejections if one.reason is RejectionReason.EXEMPLAR]
    train = {one.problem_id for one in loaded.problems}
    assert len(exemplars) == 8 and not train & {one.problem_id for one in exemplars}


def test_commonsenseqa_every_row_is_accounted_for(commonsenseqa: Loaded) -> None:
    _, loaded = commonsenseqa
    assert _splits(loaded) == {Split.TRAIN: 9241, Split.DEV: 500, Split.EVAL: 1221}
    assert not loaded.rejections and not loaded.bad
    assert all(list(problem.choices) == list("abcde") for problem in loaded.problems)


def test_commonsenseqa_the_papers_closing_sentence_is_graded_by_its_choice(commonsenseqa: Loaded) -> None:
    config, loaded = commonsenseqa

    def closing(problem: Problem, key: str) -> tuple[Problem, str]:
        return problem, f"It must be so. Therefore, the answer is {problem.choices[key]} ({key})."

    right = [closing(problem, problem.answer) for problem in loaded.problems]
    wrong = [closing(problem, "b" if problem.answer == "a" else "a") for problem in loaded.problems]
    assert _graded(config, right) == {Outcome.CORRECT: 10962}
    assert _graded(config, wrong) == {Outcome.WRONG: 10962}


def test_commonsenseqa_hint_marks_the_right_choice_only(commonsenseqa: Loaded) -> None:
    config, loaded = commonsenseqa
    book = PromptBook(config.prompts, loaded.exemplars, loaded.hinted_exemplars, None)
    for problem in loaded.problems[:300]:
        hinted = book.hinted(problem, few_shot=False)
        assert hinted.hint == f"({problem.answer}) {problem.choices[problem.answer]} (CORRECT)"
        assert hinted.text.count("(CORRECT)") == 1
        assert hinted.text.replace(" (CORRECT)", "") == book.canonical(problem).text


def test_commonsenseqa_the_hubs_layout_gives_the_same_problems(
    repository: Path, shared_data: Path, commonsenseqa: Loaded, tmp_path: Path
) -> None:
    from datasets import Dataset, DatasetDict

    parts = {"train": "train.jsonl", "validation": "dev.jsonl"}
    hub = {
        part: Dataset.from_list(_hub_rows(shared_data / "commonsenseqa" / name, 50))
        for part, name in parts.items()
    }
    DatasetDict(hub).save_to_disk(str(tmp_path / "tau" / "commonsense_qa"))
    settings = [f"problems.data_dir={tmp_path}", "problems.dev_from_train=0"]
    config = load_config(repository / "configs" / "commonsenseqa.yaml", settings).config
    read = load_problems(config).problems
    local = {one.problem_id: replace(one, meta={}) for one in commonsenseqa[1].problems}
    assert Counter(one.split for one in read) == {Split.TRAIN: 50, Split.EVAL: 50}
    for problem in read:
        expected = replace(local[problem.problem_id], split=problem.split)
        assert replace(problem, meta={}) == expected


def _hub_rows(file: Path, count: int) -> list[dict[str, Any]]:
    """The first rows of a file of the released layout, as the hub lays them out."""
    rows = []
    for line in file.read_text(encoding="utf-8").splitlines()[:count]:
        row = json.loads(line)
        choices = row["question"]["choices"]
        listed = {name: [choice[name] for choice in choices] for name in ("label", "text")}
        rows.append(
            {
                "id": row["id"],
                "question": row["question"]["stem"],
                "question_concept": row["question"]["question_concept"],
                "choices": listed,
                "answerKey": row["answerKey"],
            }
        )
    return rows
