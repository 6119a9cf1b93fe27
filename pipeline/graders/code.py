"""`code`: does the submitted program pass its tests?

Tests are assertions (`{"test": "...", "entry_point": "f"}`, as HumanEval), calls with expected results
(`{"entry_point": "f", "cases": [[arguments, expected], ...]}`) or scripts (`{"cases": [{"stdin": "...",
"stdout": "..."}]}`). The submission runs in a sandbox of its own and is only asked to call a function
or to read its input; what is expected stays outside, and so does the verdict.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from pipeline.config.graders import CodeGrader
from pipeline.graders import extraction
from pipeline.graders.inside.codec import decode, encode
from pipeline.graders.protocol import Job, graded, ungraded
from pipeline.graders.sandbox import Limits, Sandbox, SandboxDownError, SandboxError, require
from pipeline.graders.templates import render
from pipeline.identity import text_hash
from pipeline.records import GradeItem, Verdict

_FENCE = re.compile(r"```(?:python|py|Python)?[ \t]*\n(.*?)(?:\n```|\Z)", re.DOTALL)
_MOST_CALLS = 10_000


class Code:
    """Grader of `type: code`."""

    backlog = 1
    memory_mb = 4096
    environment: tuple[str, ...] = ()

    def __init__(self, config: CodeGrader, digest: str) -> None:
        require(config.name, config.allow_unsafe)
        self._config = config
        self._digest = digest
        self._limits = Limits(
            seconds=config.timeout_s, memory_mb=config.memory_mb, output_bytes=config.max_output_bytes
        )

    def inline(self, item: GradeItem) -> Verdict | Job:
        """Only what has no code or no readable tests is decided at once."""
        tests = _read_tests(render(self._config.gold, item))
        if tests is None:
            return ungraded(item, "unparseable_gold")
        program = find_program(extraction.answer_region(item.response, self._config.max_chars))
        if program is None:
            return graded(item, False, "no_answer")
        key = text_hash(f"{self._digest}\0{json.dumps(tests)}\0{program}")
        runs = len(tests["cases"]) if "cases" in tests and "entry_point" not in tests else 2
        limit = min(self._config.timeout_s * runs + 20, self._config.total_s)
        return Job({"tests": tests, "program": program, "answer": None}, key, None, limit, limit)

    def work(self, payload: Mapping[str, Any]) -> Verdict:
        """Run the tests; the score is the share that passed where `partial` is set, else all or nothing."""
        tests, program = payload["tests"], payload["program"]
        try:
            if "test" in tests:
                records, reason = self._assertions(tests, program)
            elif "entry_point" in tests:
                records, reason = self._calls(tests, program)
            else:
                records, reason = self._scripts(tests, program)
        except SandboxError as error:
            return graded(None, False, f"program_{error.reason}", score=0.0)
        except SandboxDownError:
            return ungraded(None, "sandbox_failed")
        share = sum(records) / len(records) if records else 0.0
        score = share if self._config.partial else float(share == 1.0)
        passed = score >= self._config.pass_threshold
        return graded(None, passed, "tests_passed" if share == 1.0 else reason or "tests_failed", score=score)

    def _assertions(self, tests: Mapping[str, Any], program: str) -> tuple[list[bool], str | None]:
        unsafe = self._config.allow_unsafe
        with Sandbox("target", {"source": program}, self._limits, unsafe=unsafe) as target:
            if not _loaded(target.hear()):
                return [False], "program_error"
            source = tests["test"]
            with Sandbox("tester", {"tests": source}, self._limits, unsafe=unsafe) as tester:
                for _ in range(_MOST_CALLS):
                    said = tester.hear()
                    if "call" not in said:
                        return [bool(record) for record in said["records"]], None
                    target.tell(said)
                    reply = target.hear()
                    tester.tell(reply if isinstance(reply, dict) else {"error": "TypeError"})
        return [False], "too_many_calls"

    def _calls(self, tests: Mapping[str, Any], program: str) -> tuple[list[bool], str | None]:
        records: list[bool] = []
        reason: str | None = None
        cases = tests["cases"]
        while len(records) < len(cases):
            with Sandbox(
                "target", {"source": program}, self._limits, unsafe=self._config.allow_unsafe
            ) as target:
                if not _loaded(target.hear()):
                    return [False], "program_error"
                try:
                    for arguments, expected in cases[len(records) :]:
                        target.tell(
                            {"call": tests["entry_point"], "args": [encode(part) for part in arguments]}
                        )
                        records.append(_holds(target.hear(), expected))
                except (
                    SandboxError
                ) as error:  # the case that ended it has failed; the rest gets another process
                    records.append(False)
                    reason = f"program_{error.reason}"
                    if not self._config.partial:
                        return records, reason
        return records, reason

    def _scripts(self, tests: Mapping[str, Any], program: str) -> tuple[list[bool], str | None]:
        records: list[bool] = []
        reason: str | None = None
        for case in tests["cases"]:
            hello = {"source": program, "stdin": case["stdin"], "output_bytes": self._limits.output_bytes}
            try:
                with Sandbox("program", hello, self._limits, unsafe=self._config.allow_unsafe) as script:
                    said = script.hear()
                records.append(said["error"] is None and _lines(said["printed"]) == _lines(case["stdout"]))
            except SandboxError as error:
                records.append(False)
                reason = f"program_{error.reason}"
            if not records[-1] and not self._config.partial:
                break
        return records, reason


def find_program(response: str) -> str | None:
    """The last fenced block; without fences the whole response; None where there is nothing."""
    blocks = _FENCE.findall(response)
    program = blocks[-1] if blocks else response
    return program if program.strip() else None


def same(result: Any, expected: Any) -> bool:
    """Whether a result is what a JSON case expects: tuples and sets as lists, floats up to rounding."""
    if isinstance(result, (list, tuple)) and isinstance(expected, (list, tuple)):
        return len(result) == len(expected) and all(map(same, result, expected))
    if isinstance(result, (set, frozenset)) and isinstance(expected, list):
        return len(result) == len(expected) and all(
            any(same(part, other) for other in expected) for part in result
        )
    if isinstance(result, dict) and isinstance(expected, dict):
        keys = {str(key): value for key, value in result.items()}
        return keys.keys() == expected.keys() and all(same(keys[key], expected[key]) for key in keys)
    if isinstance(result, bool) != isinstance(expected, bool):
        return False
    if isinstance(result, float) or isinstance(expected, float):
        numbers = isinstance(result, (int, float)) and isinstance(expected, (int, float))
        return numbers and math.isclose(result, expected, rel_tol=1e-9, abs_tol=1e-12)
    return type(result) is type(expected) and bool(result == expected)


def _loaded(said: Any) -> bool:
    """Whether the program was loaded; what it says may be forged, which fails its tests like any
    wrong reply.
    """
    return isinstance(said, dict) and said.get("loaded") is True


def _holds(said: Any, expected: Any) -> bool:
    if not isinstance(said, dict) or "result" not in said:
        return False
    try:
        return same(decode(said["result"]), expected)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return False


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]


def _read_tests(text: str) -> dict[str, Any] | None:
    try:
        tests = json.loads(text)
    except ValueError:
        return None
    if not isinstance(tests, dict):
        return None
    if isinstance(tests.get("test"), str):
        entry = tests.get("entry_point")
        call = f"\ncheck({entry})\n"
        source = tests["test"]
        if entry and "def check(" in source and not re.search(r"^check\(", source, re.MULTILINE):
            source += call
        return {"test": source}
    cases = tests.get("cases")
    if not isinstance(cases, list) or not cases:
        return None
    if "entry_point" in tests:
        ok = all(isinstance(case, list) and len(case) == 2 and isinstance(case[0], list) for case in cases)
        return {"entry_point": str(tests["entry_point"]), "cases": cases} if ok else None
    ok = all(isinstance(case, dict) and {"stdin", "stdout"} <= case.keys() for case in cases)
    return {"cases": cases} if ok else None
