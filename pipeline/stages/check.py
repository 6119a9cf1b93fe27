"""Runs the invariants of `sql/checks/` on the round; an offending row stops the loop."""

from __future__ import annotations

from pipeline.counted import counted
from pipeline.errors import InvariantError
from pipeline.stages.base import Output, StageContext, StageResult, result
from pipeline.store.checks import CHECKS, run_checks


def run(ctx: StageContext) -> StageResult:
    offences = run_checks(ctx.store, ctx.experiment, ctx.round)
    if offences:
        lines = "\n".join(f"  {offence.check}: {offence.row}" for offence in offences[:20])
        raise InvariantError(
            f"{counted(len(offences), 'offending row')} in round {ctx.round} of experiment "
            f"{ctx.experiment}:\n{lines}\n"
            f"see all of them with: star check {ctx.experiment}"
        )
    return result(ctx, Output(ctx), f"{len(CHECKS)} invariants hold", rows_in=0, rows_out=0)
