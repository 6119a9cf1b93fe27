"""Fields of the config that no other test changes: each changes rows of the tables."""

from __future__ import annotations

import pytest

from tests.stages.conftest import Lab, right

FEW_SHOT = (
    'prompts.few_shot=[{question: "What is 9 + 1?", rationale: "9 and 1 make 10.\\n#### 10", answer: "10"}]'
)
SENT = (
    "select distinct prompts.text from prompts join rationales using (prompt_hash) "
    "where problem_id = 'p0' and origin = '{origin}'"
)


@pytest.mark.parametrize("field", ["temperature=0.25", "top_p=0.5", "top_k=3", "max_tokens=9"])
@pytest.mark.parametrize(("section", "origin"), [("generate", "generated"), ("rationalize", "rationalized")])
def test_sampling_field_of_either_section_is_what_its_attempts_were_asked_with(
    lab: Lab, section: str, origin: str, field: str
) -> None:
    lab.run(f"{section}.{field}", until="rationalize")
    name, value = field.split("=")
    found = lab.rows(
        f"select origin, (sampling->>'{name}')::double = {value} from rationales where round = 1 group by all"
    )
    assert dict(found)[origin] is True
    # rationalize.max_tokens follows generate.max_tokens; nothing else crosses over.
    follows = section == "generate" and name == "max_tokens"
    assert [changed for who, changed in found if who != origin] == [follows]


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ([FEW_SHOT, "rationalize.few_shot=true"], "Q: What is 9 + 1? (10)\nA: 9 and 1 make 10.\n#### 10\n\n"),
        ([FEW_SHOT, "rationalize.few_shot=false"], ""),
        ([FEW_SHOT, 'prompts.separator=" ~~ "'], "Q: What is 9 + 1? (10)\nA: 9 and 1 make 10.\n#### 10 ~~ "),
        (
            [
                FEW_SHOT,
                'prompts.hinted_few_shot=[{question: "What is 8 + 1?", rationale: "So 9.", answer: "9"}]',
            ],
            "Q: What is 8 + 1? (9)\nA: So 9.\n\n",
        ),
    ],
)
def test_rationalize_prompt_shows_the_exemplars_that_its_fields_say(
    lab: Lab, settings: list[str], shown: str
) -> None:
    lab.run(*settings, until="rationalize")
    assert lab.rows(SENT.format(origin="rationalized")) == [(f"{shown}Q: What is 0 + 0? (0)\nA:",)]


def test_prompts_templates_are_what_is_sent_and_trained(lab: Lab) -> None:
    lab.says("p0", ["no idea"])
    lab.says("p0", [right(0)], origin="rationalized")
    lab.run(
        "prompts.question=Ask {question} >",
        "prompts.hinted_question=Ask {question} [{hint}] >",
        'prompts.completion_prefix="~"',
        until="select",
    )
    assert lab.rows(SENT.format(origin="generated")) == [("Ask What is 0 + 0? >",)]
    assert lab.rows(SENT.format(origin="rationalized")) == [("Ask What is 0 + 0? [0] >",)]
    assert lab.rows("select prompt, completion from training_rows") == [
        ("Ask What is 0 + 0? >", f"~{right(0)}")
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("when", "styles"),
    [
        ("always", ["few_shot", "few_shot"]),
        ("round_1", ["few_shot", "zero_shot"]),
        ("never", ["zero_shot", "zero_shot"]),
    ],
)
def test_generate_few_shot_says_in_which_rounds_exemplars_are_shown(
    lab: Lab, when: str, styles: list[str]
) -> None:
    lab.says("p1", [right(2)])
    lab.run(FEW_SHOT, "rounds=2", f"generate.few_shot={when}")
    found = lab.rows(
        "select distinct round, prompt_style from rationales where origin = 'generated' order by round"
    )
    assert found == list(enumerate(styles, start=1))


@pytest.mark.slow
@pytest.mark.parametrize(("reuse", "rows"), [("0", [1, 1, 1]), ("1", [1, 2, 2]), ("all", [1, 2, 3])])
def test_select_reuse_rounds_trains_on_that_many_earlier_rounds(
    lab: Lab, reuse: str, rows: list[int]
) -> None:
    lab.says("p1", [right(2)])
    lab.run("rounds=3", "rationalize.enabled=false", f"select.reuse_rounds={reuse}", "select.duplicates=true")
    found = lab.rows("select count(*) from training_rows where not superseded group by round order by round")
    assert [count for (count,) in found] == rows


@pytest.mark.slow
@pytest.mark.parametrize("start", ["base", "previous"])
def test_train_start_is_the_parent_of_the_second_checkpoint(lab: Lab, start: str) -> None:
    lab.says("p1", [right(2)])
    lab.run("rounds=2", f"train.start={start}")
    hashes = lab.rows("select content_hash, parent_hash, base_hash from checkpoints order by round")
    assert hashes[0][1] == hashes[0][2]
    assert hashes[1][1] == (hashes[1][2] if start == "base" else hashes[0][0])


def test_evaluate_style_splits_and_max_tokens_are_those_of_its_attempts(lab: Lab) -> None:
    found = (
        "select distinct split, prompt_style, (sampling->>'max_tokens')::int, (sampling->>'temperature')::double "
        "from rationales where origin = 'evaluated' and round = 1"
    )
    lab.says("p1", [right(2)])
    lab.run(FEW_SHOT, "evaluate.style=few_shot", "evaluate.splits=[dev]", "evaluate.max_tokens=7")
    assert lab.rows(found) == [("dev", "few_shot", 7, 0.0)]
    lab.run("rounds=0", "evaluate.splits=[eval]", name="nothing-to-measure")
    assert lab.rows("select count(*) from rationales where experiment = 'nothing-to-measure'") == [(0,)]


def test_evaluate_pass_at_k_is_sampled_as_its_fields_say(lab: Lab) -> None:
    lab.run("rounds=0", "evaluate.pass_at_k={samples: 3, temperature: 0.5, top_p: 0.75, top_k: 4}")
    found = lab.rows(
        "select count(*), sampling->>'temperature', sampling->>'top_p', sampling->>'top_k' from rationales "
        "where problem_id = 'd0' group by all order by 1"
    )
    assert found == [(1, "0.0", "1.0", "0"), (3, "0.5", "0.75", "4")]


def test_evaluate_confidence_widens_the_interval(lab: Lab) -> None:
    for name, confidence in (("usual", 0.95), ("sure", 0.99)):
        lab.run("rounds=0", f"evaluate.confidence={confidence}", name=name)
    widths = dict(
        lab.rows(
            "select experiment, high - low from evaluations where metric = 'accuracy' and difficulty is null"
        )
    )
    assert widths["sure"] > widths["usual"]
