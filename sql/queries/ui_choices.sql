-- grain: column and value that attempts of $experiment have: what the filters offer
with attempts as (
    select round, origin, split, fate
    from attempt_fates
    where experiment = $experiment
),

opinions as (
    select grader, outcome, reason
    from verdicts
    where experiment = $experiment and not superseded
),

final as (
    select 'round' as name, cast(round as varchar) as value, round as place, count(*) as attempts
    from attempts
    group by round
    union all
    select 'origin', origin, 0, count(*) from attempts group by origin
    union all
    select 'split', split, 0, count(*) from attempts group by split
    union all
    select 'fate', fate, 0, count(*) from attempts where fate is not null group by fate
    union all
    select 'grader', grader, 0, count(*) from opinions group by grader
    union all
    select 'outcome', outcome, 0, count(*) from opinions group by outcome
    union all
    select 'reason', reason, 0, count(*) from opinions where reason is not null group by reason
)

select * from final
order by name, place, value
