-- grain: column and value that attempts of $experiment have: what the filters offer
with attempts as (
    select distinct round, origin, split
    from rationales
    where experiment = $experiment and not superseded
),

opinions as (
    select distinct grader, outcome, reason
    from verdicts
    where experiment = $experiment and not superseded
),

final as (
    select distinct 'round' as name, cast(round as varchar) as value, round as place from attempts
    union all
    select distinct 'origin', origin, 0 from attempts
    union all
    select distinct 'split', split, 0 from attempts
    union all
    select distinct 'fate', reason, 1 from current_rejections
    where experiment = $experiment and rationale_id is not null
    union all
    select 'fate', value, place from (values ('kept', 0), ('pending', 2)) as others (value, place)
    union all
    select distinct 'grader', grader, 0 from opinions
    union all
    select distinct 'outcome', outcome, 0 from opinions
    union all
    select distinct 'reason', reason, 0 from opinions where reason is not null
)

select * from final
order by name, place, value
