-- grain: round, split, metric, prompt style and difficulty ('all': over all difficulties)
-- value with its interval [low, high]; gain: accuracy, pass@k or maj@k against the better style of round 0
with measured as (
    select
        round,
        split,
        metric,
        prompt_style,
        coalesce(difficulty, 'all') as difficulty,
        problems,
        samples,
        k,
        correct,
        value,
        low,
        high
    from current_evaluations
    where experiment = $experiment
),

base as (
    select split, metric, difficulty, max(value) as value
    from measured
    where round = 0 and (metric = 'accuracy' or metric like 'pass@%' or metric like 'maj@%')
    group by split, metric, difficulty
),

final as (
    select
        measured.*,
        measured.value - base.value as gain
    from measured
    left join base
        on base.split = measured.split
        and base.metric = measured.metric
        and base.difficulty = measured.difficulty
)

select * from final
order by split, metric, difficulty = 'all' desc, difficulty, round, prompt_style
