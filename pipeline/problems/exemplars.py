"""Worked examples as the config gives them."""

from __future__ import annotations

from pipeline.config.tasks import ExemplarConfig
from pipeline.errors import ConfigError
from pipeline.records import Exemplar


def exemplar_of(config: ExemplarConfig, where: str) -> Exemplar:
    """The exemplar at the key `where`, keys of its choices lowercase as those of problems. ConfigError where
    its answer is none of its choices."""
    choices = dict(sorted((key.strip().lower(), text) for key, text in config.choices.items()))
    answer = config.answer.strip().lower() if choices else config.answer
    if choices and answer not in choices:
        raise ConfigError(
            f"{where}.answer is {config.answer!r}; expected one of its choices: {', '.join(choices)}"
        )
    return Exemplar(config.question, config.rationale.strip(), answer, choices)
