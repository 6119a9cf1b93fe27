-- grain: round, origin and sub-score: how often a part of the deciding grader was 0 on correct attempts
-- attempts: correct attempts that have the sub-score; flagged: of those, with 0; rate: flagged / attempts
with scored as (
    select round, origin, subscores, unnest(json_keys(subscores)) as subscore
    from current_rationales
    where experiment = $experiment and purpose = 'training' and outcome = 'correct'
),

valued as (
    select round, origin, subscore, cast(json_extract(subscores, '$."' || subscore || '"') as double) as value
    from scored
    where not regexp_matches(subscore, '(^|\.)(calls|votes|prompt_tokens|completion_tokens)$') -- a judge's counts
),

final as (
    select
        round,
        origin,
        subscore,
        count(*) as attempts,
        count(*) filter (value = 0) as flagged,
        count(*) filter (value = 0) / count(*) as rate
    from valued
    group by round, origin, subscore
)

select * from final
order by round, origin, subscore
