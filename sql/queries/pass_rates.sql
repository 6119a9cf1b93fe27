-- grain: problem attempted in round $round, with its attempts and how many of them could be kept
with tried as (
    select
        problem_id,
        count(*) as attempts,
        count(*) filter (outcome = 'correct' and ($keep_cut_off or finish_reason <> 'length')) as correct
    from current_rationales
    where experiment = $experiment
        and round = $round
        and stage = 'generate'
    group by problem_id
),

final as (
    select current_problems.*, tried.attempts, tried.correct
    from tried
    join current_problems
        on current_problems.experiment = $experiment and current_problems.problem_id = tried.problem_id
)

select * from final
order by problem_id
