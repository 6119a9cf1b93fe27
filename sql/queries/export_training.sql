-- grain: row of the loop (no general data) that the model of round $round was trained on, with its problem and what
-- people said of the attempt
select
    current_training_rows.prompt,
    current_training_rows.completion,
    current_training_rows.problem_id,
    current_problems.question,
    current_problems.answer,
    current_problems.choices,
    current_problems.difficulty,
    current_problems.source,
    current_training_rows.origin,
    current_training_rows.round,
    current_training_rows.from_round,
    flagged_attempts.flagged,
    current_training_rows.rationale_id,
    current_training_rows.tokens
from current_training_rows
anti join current_rejections as held_out
    on held_out.experiment = current_training_rows.experiment
    and held_out.round = current_training_rows.round
    and held_out.rationale_id = current_training_rows.rationale_id
    and held_out.reason = 'held_out'
left join current_problems
    on current_problems.experiment = current_training_rows.experiment
    and current_problems.problem_id = current_training_rows.problem_id
left join flagged_attempts
    on flagged_attempts.experiment = current_training_rows.experiment
    and flagged_attempts.round = current_training_rows.from_round
    and flagged_attempts.rationale_id = current_training_rows.rationale_id
where current_training_rows.experiment = $experiment
    and current_training_rows.round = $round
    and current_training_rows.origin <> 'replay'
order by
    current_training_rows.from_round,
    current_training_rows.problem_id,
    current_training_rows.origin,
    current_training_rows.sample
