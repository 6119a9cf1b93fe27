"""`{{item.x}}` and `{{sample.y}}`: what a grader's text fields are filled with.

A template is expanded in one pass, so a value that itself contains `{{...}}` (a model may write one) stays
text. Names follow OpenAI's reinforcement fine-tuning graders: `item` is the problem, `sample` the response.
"""

from __future__ import annotations

import json
import re
from typing import Any

from pipeline.errors import ConfigError
from pipeline.records import GradeItem

_PLACE = re.compile(r"\{\{\s*([A-Za-z_][\w.]*)\s*\}\}")


def render(template: str, item: GradeItem) -> str:
    """`template` with its places filled from `item`. Raises ConfigError for a name that does not exist."""
    if template == "{{item.answer}}":
        return item.answer
    return _PLACE.sub(lambda place: _text(_lookup(place.group(1), item)), template)


def _lookup(name: str, item: GradeItem) -> Any:
    root, *path = name.split(".")
    value: Any
    if root == "item":
        own = {
            "answer": item.answer,
            "question": item.question,
            "choices": dict(item.choices),
            "hint": item.hint,
        }
        value = {**own, **item.item, **{key: own[key] for key in ("answer",)}}
    elif root == "sample":
        value = {"output_text": item.response, "origin": str(item.origin)}
    else:
        raise ConfigError(f"template name {name!r}: expected item.<field> or sample.output_text")
    for key in path:
        if not isinstance(value, dict) or key not in value:
            known = ", ".join(sorted(value)) if isinstance(value, dict) else type(value).__name__
            raise ConfigError(f"template name {name!r}: no field {key!r}; there are: {known}")
        value = value[key]
    return value


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)
