-- grain: one row: how many attempts of $experiment fit the filter of ui_pick_judged, in how many problems
with graded as (
    select distinct rationale_id
    from verdicts
    where experiment = $experiment
        and ($round is null or round = $round)
        and not superseded
        and case when $grader is null then decides else grader = $grader end
        and ($outcome is null or outcome = $outcome)
        and ($reason is null or reason = $reason)
),

final as (
    select count(*) as attempts, count(distinct problem_id) as problems
    from attempt_fates
    where experiment = $experiment
        and ($round is null or round = $round)
        and ($origin is null or origin = $origin)
        and ($split is null or split = $split)
        and ($problem is null or starts_with(problem_id, $problem))
        and ($fate is null or fate = $fate)
        and ($min_tokens is null or completion_tokens >= $min_tokens)
        and ($max_tokens is null or completion_tokens <= $max_tokens)
        and (not $flagged or flagged is not null)
        and (
            ($grader is null and $outcome is null and $reason is null)
            or rationale_id in (select rationale_id from graded)
        )
)

select * from final
