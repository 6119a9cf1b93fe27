-- grain: round and further set: greedy accuracy with its interval [low, high], and its change since round 0
-- a set is a task of its own (evaluate.further): what is forgotten of it, and what carries over to it; it decides nothing
with measured as (
    select
        round,
        substr(split, length('further:') + 1) as further_set,
        prompt_style,
        problems,
        correct,
        value,
        low,
        high
    from current_evaluations
    where experiment = $experiment
        and starts_with(split, 'further:')
        and metric = 'accuracy'
        and difficulty is null
),

final as (
    select
        measured.*,
        measured.value - base.value as change
    from measured
    left join measured as base
        on base.further_set = measured.further_set and base.round = 0
)

select * from final
order by further_set, round
