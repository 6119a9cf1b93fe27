-- grain: attempt that fits attempts_fitting, with its fate, and fits what was said of it too; null: all
-- of_grader: its verdict is meant by of_outcome and of_reason, else the deciding one; flagged_only: true or false
create or replace macro judged_attempts_fitting(
    of_experiment, of_round, of_origin, of_split, of_problem, least_tokens, most_tokens,
    of_outcome, of_reason, of_grader, of_fate, flagged_only
) as table
with graded as (
    select distinct rationale_id
    from verdicts
    where experiment = of_experiment
        and (of_round is null or round = of_round)
        and not superseded
        and case when of_grader is null then decides else grader = of_grader end
        and (of_outcome is null or outcome = of_outcome)
        and (of_reason is null or reason = of_reason)
)

select *
from attempt_fates
where experiment = of_experiment
    and (of_round is null or round = of_round)
    and (of_origin is null or origin = of_origin)
    and (of_split is null or split = of_split)
    and (of_problem is null or starts_with(problem_id, of_problem))
    and (least_tokens is null or completion_tokens >= least_tokens)
    and (most_tokens is null or completion_tokens <= most_tokens)
    and (of_fate is null or fate = of_fate)
    and (not flagged_only or flagged is not null)
    and (
        (of_grader is null and of_outcome is null and of_reason is null)
        or rationale_id in (select rationale_id from graded)
    );
