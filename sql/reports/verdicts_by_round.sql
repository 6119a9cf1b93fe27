-- grain: round and origin: what the deciding grader said of the current attempts, and what kept it from saying
-- timeouts and crashes are ungraded attempts; `why_ungraded`: `timeout 3, crashed 1`; judge tokens: prompt and completion
with graded as (
    select round, origin, outcome, verdict_reason, elapsed_ms, subscores
    from current_rationales
    where experiment = $experiment and outcome is not null
),

ungraded as (
    select round, origin, verdict_reason, count(*) as attempts
    from graded
    where outcome = 'ungraded'
    group by round, origin, verdict_reason
),

reasons as (
    select
        round,
        origin,
        string_agg(verdict_reason || ' ' || attempts, ', ' order by attempts desc, verdict_reason) as why_ungraded
    from ungraded
    group by round, origin
),

counts as (
    select round, origin, subscores, unnest(json_keys(subscores)) as subscore
    from graded
),

judged as (
    select
        round,
        origin,
        sum(cast(json_extract(subscores, '$."' || subscore || '"') as double)) as tokens
    from counts
    where regexp_matches(subscore, '(^|\.)(prompt|completion)_tokens$')
    group by round, origin
),

final as (
    select
        graded.round,
        graded.origin,
        count(*) as attempts,
        count(*) filter (graded.outcome = 'correct') as correct,
        count(*) filter (graded.outcome = 'wrong') as wrong,
        count(*) filter (graded.outcome = 'ungraded') as ungraded,
        count(*) filter (
            graded.outcome = 'ungraded' and regexp_matches(graded.verdict_reason, '(^|_)timeout$')
        ) as timeouts,
        count(*) filter (
            graded.outcome = 'ungraded' and regexp_matches(graded.verdict_reason, '(^|_)(crashed|memory)$')
        ) as crashes,
        max(graded.elapsed_ms) as slowest_ms,
        any_value(reasons.why_ungraded) as why_ungraded,
        cast(coalesce(any_value(judged.tokens), 0) as bigint) as judge_tokens
    from graded
    left join reasons on reasons.round = graded.round and reasons.origin = graded.origin
    left join judged on judged.round = graded.round and judged.origin = graded.origin
    group by graded.round, graded.origin
)

select * from final
order by round, origin
