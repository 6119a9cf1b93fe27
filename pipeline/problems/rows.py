"""From the rows of an opened source to problems, each row accepted, refused or counted as a repeat."""

from __future__ import annotations

from pipeline.counted import counted
from pipeline.problems.bad_rows import BadRowError, BadRows
from pipeline.problems.mapping import RowMapper
from pipeline.problems.register import Register
from pipeline.problems.sources import OpenedSource
from pipeline.records import Problem


def read_problems(
    opened: OpenedSource, mapper: RowMapper, register: Register, bad: BadRows
) -> tuple[list[Problem], list[str]]:
    """The problems of a source, and a sentence whose counts add up. DataError and ConfigError as
    `load_problems`."""
    start, rows = len(bad.rows), 0
    problems: list[Problem] = []
    for row in opened.rows:
        rows += 1
        try:
            if isinstance(row.content, BadRowError):
                raise row.content
            problem = mapper.problem(row.content)
            place = f"{opened.label} line {row.line}"
            repeated = register.accept(problem, place, given_id=opened.fields.problem_id is not None)
        except BadRowError as error:
            bad.refuse(opened.label, row.line, error)
            continue
        if repeated is not None:
            bad.record(opened.label, row.line, "duplicate", repeated)
        else:
            problems.append(problem)
    mapper.check_found(len(problems))
    reasons = bad.counts(start)
    why = (
        f" ({', '.join(f'{count:,} {reason}' for reason, count in sorted(reasons.items()))})"
        if reasons
        else ""
    )
    read = f"{counted(rows, 'row')} read from {opened.label} (source {mapper.source})"
    return problems, [f"{read}: {counted(len(problems), 'problem')}, {reasons.total():,} bad{why}"]
