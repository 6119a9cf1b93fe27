-- grain: round, origin and outcome: one attempt to train on, drawn by its id, which is a hash
with drawn as (
    select *
    from current_rationales
    where experiment = $experiment and purpose = 'training' and outcome is not null
    qualify row_number() over (partition by round, origin, outcome order by rationale_id) = 1
),

final as (
    select
        drawn.round,
        drawn.origin,
        drawn.outcome,
        drawn.rationale_id,
        drawn.problem_id,
        current_problems.question,
        current_problems.answer as gold,
        drawn.hint,
        drawn.text,
        drawn.answer,
        kept.rationale_id is not null as kept
    from drawn
    left join current_problems
        on current_problems.experiment = drawn.experiment and current_problems.problem_id = drawn.problem_id
    left join current_training_rows as kept
        on kept.experiment = drawn.experiment
        and kept.round = drawn.round
        and kept.rationale_id = drawn.rationale_id
)

select * from final
order by round, origin, outcome
