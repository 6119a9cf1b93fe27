"""`star preview`: the prompts as stages make them, without a model."""

import json
from pathlib import Path

import pytest

from tests.cli.test_app import invoke
from tests.experiments import HOSTILE, NAME, write_config


def previews(home: Path, target: str, *arguments: str) -> list[dict[str, object]]:
    code, told, said = invoke("preview", target, *arguments, "--json", home=home)
    assert code == 0, said
    return [json.loads(line) for line in told.splitlines()]


def test_preview_of_the_demo_shows_every_kind_of_prompt_and_pretrains_nothing(tmp_path: Path) -> None:
    shown = {str(item["kind"]).split()[0]: item for item in previews(tmp_path, "addition")}
    assert list(shown) == ["generation", "hinted", "training", "evaluation"]
    assert str(shown["generation"]["prompt"]).startswith("Q: a ")
    assert str(shown["hinted"]["hint"]) in str(shown["hinted"]["prompt"])
    assert shown["generation"]["hint"] is None
    assert not (tmp_path / "bases").exists()


def test_preview_training_row_has_loss_on_the_completion_and_one_end_token(tmp_path: Path) -> None:
    row = next(item for item in previews(tmp_path, "addition") if str(item["kind"]).startswith("training"))
    ids, labels, tokens = row["ids"], row["labels"], row["tokens"]
    assert isinstance(ids, list) and isinstance(labels, list) and isinstance(tokens, list)
    first = next(index for index, label in enumerate(labels) if label >= 0)
    assert labels == [-100] * first + ids[first:]
    assert tokens[first - 1] == "A:" and tokens.count("<eos>") == 1 and tokens[-1] == "<eos>"


def test_preview_as_text_names_stops_end_token_and_lengths(tmp_path: Path) -> None:
    code, told, _ = invoke("preview", "addition", home=tmp_path)
    assert code == 0
    assert "end token (trained): <eos> (1)" in told
    assert "no loss: Q:" in told and "<eos>·1" in told
    assert "hint: 'Hint: a =" in told


def test_preview_of_an_experiment_uses_its_recorded_config(selected: Path) -> None:
    shown = previews(selected / "home", NAME, "--problems", "2")
    assert [item["kind"] for item in shown].count("generation") == 2
    assert str(shown[0]["prompt"]).startswith("Q: What is 1 + 1?\nA: One and one are two.")
    assert shown[0]["style"] == "few_shot"


@pytest.mark.parametrize("further", [[], ["--tokens"]])
def test_preview_obeys_nothing_that_a_data_set_says(tmp_path: Path, further: list[str]) -> None:
    config = write_config(tmp_path / "project")
    rows = [{"id": "p0", "question": HOSTILE, "answer": "1", "level": "easy"}]
    (tmp_path / "project" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, told, _ = invoke("preview", str(config), *further, home=tmp_path)
    assert code == 0
    assert "<script>alert('x')</script>" in told
    assert "\x1b" not in told and "\x07" not in told and "\u202e" not in told


def test_preview_without_the_hub_shows_plain_prompts_as_text(tmp_path: Path) -> None:
    config = write_config(tmp_path / "project")
    settings = ["--set", "model.base=nobody/nothing", "--set", "model.tiny=null"]
    code, told, said = invoke("preview", str(config), *settings, home=tmp_path)
    assert code == 0
    assert "texts only, no tokens: " in said and "nobody/nothing" in said
    assert "Q: What is 0 + 1?" in told
    code, _, said = invoke("preview", str(config), *settings, "--set", "prompts.chat=true", home=tmp_path)
    assert (code, "cannot be loaded" in said) == (69, True)


@pytest.mark.parametrize(
    ("rationale", "said_of_it"),
    [
        ("One and one are two.", "is wrong for verify.grader: it finds no answer in the rationale where the"),
        (
            "One and one are two.\n#### 3",
            "is wrong for verify.grader: it finds '3' in the rationale where the",
        ),
        ("The answer is 2.", "has no line with prompts.answer_line '####', so a text like it would not end"),
    ],
)
def test_preview_names_an_exemplar_whose_text_would_not_be_kept(
    tmp_path: Path, rationale: str, said_of_it: str
) -> None:
    config = write_config(tmp_path / "project")
    exemplar = json.dumps({"question": "What is 1 + 1?", "rationale": rationale, "answer": "2"})
    grader = "verify.grader={type: numeric, extract: [hash4, answer_is]}"
    settings = [f"prompts.few_shot=[{exemplar}]", grader, "prompts.answer_line='####'"]
    arguments = [part for setting in settings for part in ("--set", setting)]
    code, _, said = invoke("preview", str(config), *arguments, home=tmp_path)
    assert code == 0
    assert f"the exemplar 'What is 1 + 1?' {said_of_it}" in said


def test_preview_says_nothing_of_exemplars_that_are_right(tmp_path: Path) -> None:
    code, _, said = invoke("preview", str(write_config(tmp_path / "project")), home=tmp_path)
    assert code == 0
    assert "the exemplar" not in said
