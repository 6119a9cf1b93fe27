-- grain: train problem that was attempted: the round it was first solved in without and with the hint
-- forgotten: solved without a hint in an earlier round, but not in the last round that attempted it
with attempts as (
    select problem_id, round, origin, outcome = 'correct' as correct
    from current_rationales
    where experiment = $experiment and purpose = 'training' and origin in ('generated', 'rationalized')
),

by_problem as (
    select
        problem_id,
        min(round) filter (origin = 'generated' and correct) as first_generated,
        min(round) filter (origin = 'rationalized' and correct) as first_rationalized,
        max(round) filter (origin = 'generated' and correct) as last_generated,
        max(round) filter (origin = 'generated') as last_attempted,
        count(distinct round) filter (origin = 'generated') as rounds_attempted,
        count(distinct round) filter (origin = 'generated' and correct) as rounds_solved
    from attempts
    group by problem_id
),

final as (
    select
        by_problem.problem_id,
        current_problems.difficulty,
        by_problem.first_generated,
        by_problem.first_rationalized,
        by_problem.rounds_attempted,
        by_problem.rounds_solved,
        coalesce(by_problem.last_generated < by_problem.last_attempted, false) as forgotten
    from by_problem
    left join current_problems
        on current_problems.experiment = $experiment and current_problems.problem_id = by_problem.problem_id
)

select * from final
order by first_generated nulls last, first_rationalized nulls last, problem_id
