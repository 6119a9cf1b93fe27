"""From a grader's config to the grader, its digest and its extraction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pipeline.config.graders import (
    ChoiceGrader,
    CodeGrader,
    ConstraintsGrader,
    GraderConfig,
    JsonSchemaGrader,
    LabelModelGrader,
    MathGrader,
    MultiGrader,
    NumericGrader,
    PythonGrader,
    ScoreModelGrader,
    StringCheckGrader,
    TextSimilarityGrader,
)
from pipeline.config.load import deciding_content
from pipeline.errors import ConfigError
from pipeline.graders import (
    choice,
    code,
    constraints,
    extraction,
    json_schema,
    judge,
    mathematics,
    multi,
    numeric,
    python,
    quality,
    similarity,
    strings,
)
from pipeline.graders.protocol import Grader
from pipeline.identity import digest

GRADERS_VERSION = 2
"""Raised when a change of code changes verdicts: it is part of every grader's digest."""

_ADAPTER: TypeAdapter[GraderConfig] = TypeAdapter(GraderConfig)


def parse_config(data: Mapping[str, Any]) -> GraderConfig:
    """A validated grader config, or ConfigError with a line for each thing wrong."""
    try:
        return _ADAPTER.validate_python(dict(data))
    except ValidationError as error:
        lines = [f"  {'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()]
        raise ConfigError("not a valid grader:\n" + "\n".join(lines)) from None


def build_grader(config: GraderConfig, *, inside_multi: bool = False) -> Grader:
    """The grader a config describes. Raises ConfigError where it cannot run as it is described."""
    match config:
        case MathGrader():
            return mathematics.Mathematics(config, grader_digest(config))
        case NumericGrader():
            return numeric.Numeric(config)
        case ChoiceGrader():
            return choice.Choice(config)
        case StringCheckGrader():
            return strings.StringCheck(config)
        case TextSimilarityGrader():
            return similarity.TextSimilarity(config)
        case CodeGrader():
            return code.Code(config, grader_digest(config))
        case JsonSchemaGrader():
            return json_schema.JsonSchema(config, grader_digest(config))
        case ConstraintsGrader():
            return constraints.Constraints(config, grader_digest(config))
        case PythonGrader():
            return python.Python(config, grader_digest(config))
        case ScoreModelGrader() | LabelModelGrader():
            return judge.Judge(config, grader_digest(config), inside_multi=inside_multi)
        case MultiGrader():
            parts = {name: build_grader(part, inside_multi=True) for name, part in config.graders.items()}
            return multi.Multi(config, parts, grader_digest(config))
        case _:
            return quality.Quality(config)


def grader_digest(config: GraderConfig) -> str:
    """Digest of what decides its verdicts: the config and the version of this code, not the name.

    A judge is known by the name, path or hub id of its model, not by the content behind it.
    """
    content = deciding_content(config)
    content.pop("name", None)
    return digest({"grader": content, "version": GRADERS_VERSION})


def extract_answer(config: GraderConfig, response: str, choices: Mapping[str, str]) -> str | None:
    """The answer as the grader would read it off the response, or None. Linear time; no SymPy."""
    match config:
        case ChoiceGrader():
            found = choice.find_choice(
                extraction.answer_region(response, config.max_chars), config.extract, choices
            )
            return None if found is None else found.key
        case StringCheckGrader():
            return strings.find_text(config, response)
        case CodeGrader():
            return code.find_program(extraction.answer_region(response, config.max_chars))
        case MathGrader() | NumericGrader():
            return extraction.extract(extraction.answer_region(response, config.max_chars), config.extract)
        case JsonSchemaGrader():
            return json_schema.find_json(extraction.answer_region(response, config.max_chars))
        case MultiGrader():
            answers = (extract_answer(part, response, choices) for part in config.graders.values())
            return next((answer for answer in answers if answer is not None), None)
        case _:
            return None
