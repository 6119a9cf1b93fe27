-- grain: attempt $rationale_id of $experiment with its problem, its prompt as sent, and the training row it became
-- the row of its own round where that kept it, else that of the first round that reused it
with trained as (
    select
        rationale_id,
        round as trained_round,
        prompt as training_prompt,
        completion as training_completion,
        tokens as training_tokens,
        training_set_digest
    from current_training_rows
    where experiment = $experiment and rationale_id = $rationale_id
    qualify row_number() over (order by round) = 1
),

final as (
    select
        attempts.*,
        current_problems.question,
        current_problems.answer as gold,
        current_problems.choices,
        current_problems.solution,
        prompts.text as prompt,
        trained.* exclude (rationale_id)
    from attempt_fates as attempts
    left join current_problems
        on current_problems.experiment = attempts.experiment
        and current_problems.problem_id = attempts.problem_id
    left join prompts on prompts.prompt_hash = attempts.prompt_hash
    left join trained on trained.rationale_id = attempts.rationale_id
    where attempts.experiment = $experiment and attempts.rationale_id = $rationale_id
)

select * from final
limit 1
