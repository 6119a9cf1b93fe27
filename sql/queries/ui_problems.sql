-- grain: train problem of $experiment that was attempted: when it was solved; $state null: all
-- state: `forgotten`, solved once but not in the last round that tried; `solved`; `hinted`, only with the hint; `never`
with attempts as (
    select problem_id, round, origin, outcome = 'correct' as correct
    from current_rationales
    where experiment = $experiment and purpose = 'training' and origin in ('generated', 'rationalized')
),

by_problem as (
    select
        problem_id,
        count(*) as attempts,
        count(*) filter (correct) as correct,
        min(round) filter (origin = 'generated' and correct) as first_generated,
        min(round) filter (origin = 'rationalized' and correct) as first_rationalized,
        max(round) filter (origin = 'generated' and correct) as last_generated,
        max(round) filter (origin = 'generated') as last_attempted
    from attempts
    group by problem_id
),

stated as (
    select
        *,
        case
            when last_generated < last_attempted then 'forgotten'
            when first_generated is not null then 'solved'
            when first_rationalized is not null then 'hinted'
            else 'never'
        end as state
    from by_problem
),

final as (
    select
        stated.*,
        current_problems.question,
        current_problems.answer as gold,
        current_problems.difficulty,
        count(*) over () as matching
    from stated
    left join current_problems
        on current_problems.experiment = $experiment and current_problems.problem_id = stated.problem_id
    where ($state is null or stated.state = $state)
        and ($first_round is null or stated.first_generated = $first_round)
)

select * from final
order by first_generated nulls last, first_rationalized nulls last, problem_id
limit $limit offset $offset
