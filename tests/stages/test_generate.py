"""generate: which problems, how many samples, behind which prompt, and where a text ends."""

from __future__ import annotations

import json

import pytest

from pipeline.errors import ConfigError
from pipeline.store.checks import run_checks
from tests.stages.conftest import Lab, right

FEW_SHOT = (
    'prompts.few_shot=[{question: "What is 9 + 1?", rationale: "9 and 1 make 10.\\n#### 10", answer: "10"}]'
)


def test_generate_every_problem_gets_its_samples_with_their_own_seeds(lab: Lab) -> None:
    lab.run("generate.samples=3", until="generate")
    rows = lab.rows(
        "select problem_id, count(*), count(distinct seed) from rationales where origin = 'generated' group by 1"
    )
    assert sorted(rows) == [(f"p{index}", 3, 3) for index in range(6)]


def test_generate_problems_limited_draws_that_many_and_others_under_another_seed(lab: Lab) -> None:
    drawn = []
    for seed in range(4):
        lab.run("generate.problems=3", f"seed={seed}", name=f"seed-{seed}", until="generate")
        rows = lab.rows(
            f"select distinct problem_id from rationales where experiment = 'seed-{seed}' and origin = 'generated'"
        )
        assert len(rows) == 3
        drawn.append(frozenset(rows))
    assert len(set(drawn)) > 1


def test_generate_balanced_draws_equally_of_each_difficulty_as_far_as_it_goes(lab: Lab) -> None:
    source = lab.folder / "train.jsonl"
    rows = [json.loads(line) for line in source.read_text().splitlines()]
    levels = ["easy"] + ["hard"] * 5
    source.write_text(
        "".join(json.dumps({**row, "level": level}) + "\n" for row, level in zip(rows, levels, strict=True))
    )
    level = "problems.sources.train.fields.difficulty=level"
    drawn = []
    for seed in range(4):
        name = f"balanced-{seed}"
        lab.run(
            level,
            "generate.balanced=true",
            "generate.problems=3",
            f"seed={seed}",
            name=name,
            until="generate",
        )
        drawn += lab.rows(
            "select difficulty, count(distinct problem_id) from rationales "
            f"where experiment = '{name}' and origin = 'generated' group by 1 order by 1"
        )
    assert drawn == [("easy", 1), ("hard", 2)] * 4


def test_generate_few_shot_always_puts_the_exemplar_before_the_question(lab: Lab) -> None:
    lab.run(FEW_SHOT, until="generate")
    texts = [
        row[0]
        for row in lab.rows(
            "select prompts.text from prompts join rationales using (prompt_hash) where round = 1"
        )
    ]
    assert texts
    assert all(
        text.startswith("Q: What is 9 + 1?\nA: 9 and 1 make 10.\n#### 10\n\nQ: What is ") for text in texts
    )


def test_generate_few_shot_never_sends_the_bare_question(lab: Lab) -> None:
    lab.run(FEW_SHOT, "generate.few_shot=never", until="generate")
    rows = lab.rows(
        "select prompts.text, prompt_style from prompts join rationales using (prompt_hash) where round = 1"
    )
    assert {style for _, style in rows} == {"zero_shot"}
    assert all(text.count("Q:") == 1 for text, _ in rows)


def test_generate_problem_of_an_exemplar_leaves_the_pool_and_is_counted(lab: Lab) -> None:
    lab.run(
        'prompts.few_shot=[{question: "What is 2 + 2?", rationale: "2 and 2 make 4.\\n#### 4", answer: "4"}]',
        until="generate",
    )
    assert lab.rows("select count(*) from rationales where problem_id = 'p2'") == [(0,)]
    assert lab.rows("select problem_id, reason from rejections where stage = 'prepare'") == [
        ("p2", "exemplar")
    ]


def test_generate_text_is_cut_at_the_stop_and_after_the_answer_line(lab: Lab) -> None:
    lab.says("p0", ["first.\n#### 0\nQ: and another", "no answer here\n\nQ: the next"])
    lab.run('generate.stop=["\\n\\nQ:"]', until="generate")
    rows = lab.rows(
        "select sample, text, finish_reason, answer from rationales where problem_id = 'p0' order by sample"
    )
    assert rows == [(0, "first.\n#### 0", "answer", "0"), (1, "no answer here", "stop", None)]


def test_generate_text_at_the_limit_is_cut_off_only_without_a_complete_answer(lab: Lab) -> None:
    lab.says("p0", ["thinking and thinki"], finish="length")
    lab.says("p1", ["done.\n#### 2\nand on and o"], finish="length")
    lab.run(until="generate")
    rows = lab.rows(
        "select distinct problem_id, finish_reason from rationales where problem_id in ('p0', 'p1') order by 1"
    )
    assert rows == [("p0", "length"), ("p1", "answer")]


def test_generate_several_samples_at_temperature_zero_is_a_config_error(lab: Lab) -> None:
    with pytest.raises(ConfigError, match="generate.samples is 2 at temperature 0"):
        lab.run("generate.temperature=0")


def test_generate_row_says_who_wrote_it_and_how(lab: Lab) -> None:
    lab.run("generate.top_p=0.9", "generate.top_k=7", until="generate")
    row = lab.rows(
        "select engine, sampling->>'top_p', sampling->>'top_k', sampling->>'temperature', length(model_hash) "
        "from rationales where origin = 'generated' limit 1"
    )
    assert row == [("scripted", "0.9", "7", "1.0", 64)]


def test_generate_round_is_drawn_anew_but_the_same_config_draws_the_same(lab: Lab) -> None:
    for name in ("one", "two"):
        lab.run("generate.problems=3", name=name, until="generate")
    rows = lab.rows(
        "select experiment, list(problem_id || sample || seed order by problem_id, sample) from rationales "
        "where origin = 'generated' group by 1 order by 1"
    )
    assert rows[0][1] == rows[1][1]


def test_generate_imported_rationales_are_attempts_of_round_one_and_graded(lab: Lab) -> None:
    (lab.folder / "given.jsonl").write_text(
        '{"problem_id": "p1", "text": "1 and 1.\\n#### 2"}\n{"question": "What is 2 + 2?", "text": "Wrong.\\n#### 5"}\n'
    )
    lab.run("problems.imported={path: given.jsonl}", until="verify_generated")
    rows = lab.rows(
        "select problem_id, origin, engine, outcome from rationales join verdicts using (experiment, rationale_id) "
        "where origin = 'imported' order by 1"
    )
    assert rows == [("p1", "imported", "imported", "correct"), ("p2", "imported", "imported", "wrong")]


def test_verify_graded_outcomes_follow_the_answers(lab: Lab) -> None:
    lab.says("p3", [right(6), "I do not know."])
    lab.run(until="verify_generated")
    rows = lab.rows(
        "select sample, outcome, verdicts.answer from rationales join verdicts using (experiment, rationale_id) "
        "where problem_id = 'p3' order by sample"
    )
    assert rows == [(0, "correct", "6"), (1, "wrong", None)]


GOLD = ("generate.samples=1", "rationalize.enabled=false", "rounds=1")
TRAINED = "select problem_id, origin, completion from training_rows order by 1"


def test_generate_from_gold_answers_trains_on_the_answer_line_alone(lab: Lab) -> None:
    lab.run(*GOLD, "generate.source=gold_answers", "generate.answer_text='#### {answer}'")
    assert lab.rows(TRAINED) == [(f"p{index}", "imported", f" #### {2 * index}") for index in range(6)]
    assert lab.rows(
        "select distinct engine, completion_tokens from rationales where origin = 'imported'"
    ) == [("imported", 0)]
    assert lab.rows("select count(*) from rationales where origin in ('generated', 'rationalized')") == [(0,)]
    assert run_checks(lab.store, "lab") == []


def test_generate_from_gold_solutions_trains_on_those_that_the_grader_accepts(lab: Lab) -> None:
    source = lab.folder / "train.jsonl"
    rows = [json.loads(line) for line in source.read_text().splitlines()]
    solutions = {"p0": right(0, "Nothing"), "p1": right(2), "p2": right(5), "p3": None}
    rows = [{**row, "solution": solutions.get(row["id"])} for row in rows]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    field = "problems.sources.train.fields.solution=solution"
    lab.run(*GOLD, field, "generate.source=gold_solutions")
    assert lab.rows(TRAINED) == [
        ("p0", "imported", f" {right(0, 'Nothing')}"),
        ("p1", "imported", f" {right(2)}"),
    ]
    assert lab.rows("select problem_id, reason from rejections where rationale_id is not null") == [
        ("p2", "wrong")
    ]
    assert run_checks(lab.store, "lab") == []


def test_generate_from_gold_answers_without_their_form_is_refused(lab: Lab) -> None:
    with pytest.raises(ConfigError, match=r"set generate\.answer_text to how an answer alone is written"):
        lab.run("generate.source=gold_answers")


def test_generate_imported_rationales_have_their_prompt_in_the_tables_where_samples_had_another(
    lab: Lab,
) -> None:
    given = [{"problem_id": "p1", "text": right(2)}]
    (lab.folder / "given.jsonl").write_text("".join(json.dumps(row) + "\n" for row in given))
    lab.run("problems.imported={path: given.jsonl}", FEW_SHOT, until="generate")
    missing = "select origin from rationales where prompt_hash not in (select prompt_hash from prompts)"
    assert lab.rows(missing) == []
