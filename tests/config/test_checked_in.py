"""Every config in configs/ is valid, and its exemplars and prompts fit its own rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import ExperimentConfig, load_config
from pipeline.config.load import configs_in
from pipeline.config.section import Section
from pipeline.prompts import PromptBook, cut_text
from pipeline.records import Exemplar, FinishReason, Message, Problem, Split

CONFIGS = sorted(configs_in(Path(__file__).resolve().parents[2] / "configs").values())


@pytest.fixture(params=CONFIGS, ids=[file.stem for file in CONFIGS])
def file(request: pytest.FixtureRequest) -> Path:
    return Path(str(request.param))


def test_checked_in_configs_are_found() -> None:
    assert {"addition", "gsm8k", "commonsenseqa"} <= {file.stem for file in CONFIGS}


def test_checked_in_config_loads_and_describes_itself(file: Path) -> None:
    loaded = load_config(file)
    assert loaded.config.description
    assert loaded.experiment == file.stem.replace("_", "-")


def test_checked_in_config_pins_what_it_takes_from_the_hub(file: Path) -> None:
    config = load_config(file).config
    assert config.model.base == "tiny" or config.model.revision
    for name, source in config.problems.sources.items():
        assert source.kind != "datasets" or source.revision, name


def test_checked_in_exemplars_end_with_a_complete_answer_of_their_own(file: Path) -> None:
    config = load_config(file).config
    prompts = config.prompts
    for exemplar in prompts.few_shot:
        written = f"{exemplar.rationale}\n\nQ: And so on"
        cut, reason = cut_text(written, FinishReason.LENGTH, config.generate.stop, prompts.answer_line)
        assert cut == exemplar.rationale
        assert reason in (FinishReason.ANSWER, FinishReason.STOP)
        last = exemplar.rationale.splitlines()[-1]
        expected = (
            f"{exemplar.choices[exemplar.answer]} ({exemplar.answer})"
            if exemplar.choices
            else exemplar.answer
        )
        assert expected in last


def test_checked_in_prompts_show_hints_only_when_rationalizing(file: Path) -> None:
    config = load_config(file).config
    exemplars = [
        Exemplar(one.question, one.rationale, one.answer, one.choices) for one in config.prompts.few_shot
    ]
    book = PromptBook(config.prompts, exemplars, exemplars, _turns if config.prompts.chat else None)
    for one in config.prompts.few_shot:
        problem = Problem("p", Split.TRAIN, one.question, one.answer, one.choices)
        hint = book.hinted(problem, few_shot=True).hint
        assert hint
        assert hint not in book.canonical(problem).text
        assert hint not in book.generation(problem, few_shot=True).text


def _turns(messages: list[Message]) -> str:
    return "".join(f"{message.role}: {message.content}\n" for message in messages)


def _sections(section: type[Section], prefix: str = "") -> list[tuple[str, type[Section]]]:
    found = [(prefix, section)]
    for name, field in section.model_fields.items():
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, Section):
                found += _sections(kind, f"{prefix}{name}.")
    return found


def test_config_sections_refuse_unknown_keys_and_changes() -> None:
    sections = _sections(ExperimentConfig)
    assert len(sections) > 12
    for where, section in sections:
        assert section.model_config["extra"] == "forbid", where
        assert section.model_config["frozen"], where
