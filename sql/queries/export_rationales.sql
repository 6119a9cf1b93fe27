-- grain: attempt at a problem of $split in round $round (null: in any), with its verdict and its fate
select
    attempts.problem_id,
    current_problems.question,
    current_problems.answer as gold,
    attempts.text,
    attempts.answer,
    attempts.outcome,
    attempts.score,
    attempts.verdict_reason,
    case
        when kept.rationale_id is not null then coalesce(current_rejections.reason, 'kept')
        when attempts.purpose = 'training' then coalesce(current_rejections.reason, 'pending')
    end as fate,
    flagged_attempts.flagged,
    attempts.origin,
    attempts.purpose,
    attempts.round,
    attempts.sample,
    attempts.prompt_style,
    attempts.hint,
    attempts.finish_reason,
    attempts.completion_tokens,
    attempts.mean_logprob,
    attempts.difficulty,
    attempts.model_hash,
    attempts.engine,
    attempts.rationale_id
from current_rationales as attempts
left join current_problems
    on current_problems.experiment = attempts.experiment
    and current_problems.problem_id = attempts.problem_id
left join current_training_rows as kept
    on kept.experiment = attempts.experiment
    and kept.round = attempts.round
    and kept.rationale_id = attempts.rationale_id
left join current_rejections
    on current_rejections.experiment = attempts.experiment
    and current_rejections.round = attempts.round
    and current_rejections.rationale_id = attempts.rationale_id
left join flagged_attempts
    on flagged_attempts.experiment = attempts.experiment
    and flagged_attempts.round = attempts.round
    and flagged_attempts.rationale_id = attempts.rationale_id
where attempts.experiment = $experiment
    and attempts.split = $split
    and ($round is null or attempts.round = $round)
order by attempts.round, attempts.problem_id, attempts.origin, attempts.prompt_style, attempts.sample
