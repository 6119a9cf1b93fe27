"""`json_schema`: is the response JSON, and valid under the schema that is the gold?

Runs in a worker, because a `pattern` may backtrack for ever. References are resolved inside the schema only:
nothing is fetched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pipeline.config.graders import JsonSchemaGrader
from pipeline.graders import extraction
from pipeline.graders.protocol import Job, graded, ungraded
from pipeline.graders.templates import render
from pipeline.identity import text_hash
from pipeline.records import GradeItem, Verdict

_FENCE = re.compile(r"```(?:json|JSON)?[ \t]*\n(.*?)\n?```", re.DOTALL)
_DRAFTS = {
    "draft3": "Draft3Validator", "draft4": "Draft4Validator", "draft6": "Draft6Validator",
    "draft7": "Draft7Validator",
    "draft2019-09": "Draft201909Validator", "draft2020-12": "Draft202012Validator",
}  # fmt: skip


class JsonSchema:
    """Grader of `type: json_schema`."""

    backlog = 16
    memory_mb = 1536
    environment: tuple[str, ...] = ()

    def __init__(self, config: JsonSchemaGrader, digest: str) -> None:
        self._config = config
        self._digest = digest

    def inline(self, item: GradeItem) -> Verdict | Job:
        """What is not JSON is decided at once."""
        schema = (
            self._config.json_schema
            if self._config.json_schema is not None
            else render(self._config.gold, item)
        )
        try:
            rules = json.loads(schema) if isinstance(schema, str) else schema
        except (ValueError, RecursionError):
            return ungraded(item, "unparseable_gold")
        text = find_json(extraction.answer_region(item.response, self._config.max_chars))
        try:
            json.loads(text, parse_constant=_refuse)
        except RecursionError:
            return ungraded(item, "too_deep")
        except ValueError:
            return graded(item, False, "not_json")
        key = text_hash(f"{self._digest}\0{json.dumps(rules)}\0{text}")
        return Job({"schema": rules, "text": text, "answer": None}, key, None, self._config.timeout_s)

    def warm(self) -> None:
        """Import the validator before the clock of the first job runs."""
        import jsonschema  # noqa: F401

    def work(self, payload: Mapping[str, Any]) -> Verdict:
        """Validate; a schema that is itself invalid, or refers outside, leaves the item ungraded."""
        import jsonschema
        from referencing import Registry
        from referencing.exceptions import Unresolvable

        rules = payload["schema"]
        default = getattr(jsonschema, _DRAFTS[self._config.draft])
        kind = (
            jsonschema.validators.validator_for(rules, default=default)
            if isinstance(rules, dict)
            else default
        )
        checker = kind.FORMAT_CHECKER if self._config.formats else None
        try:
            kind.check_schema(rules)
            validator = kind(rules, registry=_registry(Registry()), format_checker=checker)
            error = jsonschema.exceptions.best_match(validator.iter_errors(json.loads(payload["text"])))
        except jsonschema.exceptions.SchemaError:
            return ungraded(None, "invalid_schema")
        except (Unresolvable, jsonschema.exceptions._WrappedReferencingError):
            return ungraded(None, "unresolvable_reference")
        return graded(None, error is None, "valid" if error is None else "invalid")


def _registry(empty: Any) -> Any:
    """The published meta-schemas, and nothing that is fetched."""
    from jsonschema_specifications import REGISTRY

    return REGISTRY.combine(empty)


def find_json(response: str) -> str:
    """The last fenced block, else the whole response."""
    blocks = _FENCE.findall(response)
    return blocks[-1] if blocks else response.strip()


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
