-- grain: problem of $split that both experiments answered greedily, in the rounds and prompt styles given
with first as (
    select problem_id, rationale_id, outcome = 'correct' as correct
    from current_rationales
    where experiment = $first
        and round = $first_round
        and split = $split
        and purpose = 'greedy'
        and prompt_style = $first_style
        and outcome is not null
),

second as (
    select problem_id, rationale_id, outcome = 'correct' as correct
    from current_rationales
    where experiment = $second
        and round = $second_round
        and split = $split
        and purpose = 'greedy'
        and prompt_style = $second_style
        and outcome is not null
),

final as (
    select
        first.problem_id,
        first.correct as first_correct,
        second.correct as second_correct,
        first.rationale_id as first_rationale,
        second.rationale_id as second_rationale,
        current_problems.question,
        current_problems.answer as gold,
        current_problems.difficulty
    from first
    join second on second.problem_id = first.problem_id
    left join current_problems
        on current_problems.experiment = $first and current_problems.problem_id = first.problem_id
)

select * from final
order by problem_id
