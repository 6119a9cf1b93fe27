-- grain: round, origin and outcome: one attempt to train on, drawn by its id, which is a hash
-- First the few ids, then their texts: of the others no text is read.
with picked as (
    select round, origin, outcome, min(rationale_id) as rationale_id
    from current_rationales
    where experiment = $experiment and purpose = 'training' and outcome is not null
    group by round, origin, outcome
),

drawn as (
    select
        picked.outcome,
        attempts.experiment,
        attempts.round,
        attempts.origin,
        attempts.rationale_id,
        attempts.problem_id,
        attempts.hint,
        attempts.text,
        attempts.answer
    from rationales as attempts
    join picked on picked.round = attempts.round and picked.rationale_id = attempts.rationale_id
    where attempts.experiment = $experiment and not attempts.superseded
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
