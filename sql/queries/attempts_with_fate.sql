-- grain: attempt of $experiment with its verdict, and whether its own round kept it (`kept`, or the reason why not)
-- $round, $problem_id, $origin, $outcome and $fate narrow it down; null: all
with fates as (
    select
        attempts.rationale_id,
        attempts.round,
        attempts.origin,
        attempts.purpose,
        attempts.problem_id,
        attempts.split,
        attempts.difficulty,
        attempts.sample,
        attempts.prompt_style,
        current_problems.question,
        current_problems.choices,
        current_problems.answer as gold,
        attempts.hint,
        attempts.text,
        attempts.answer,
        attempts.finish_reason,
        attempts.completion_tokens,
        attempts.mean_logprob,
        attempts.model_hash,
        attempts.engine,
        attempts.outcome,
        attempts.score,
        attempts.verdict_reason,
        attempts.grader,
        case
            when kept.rationale_id is not null then coalesce(current_rejections.reason, 'kept')
            when attempts.purpose = 'training' then coalesce(current_rejections.reason, 'pending')
        end as fate,
        current_rejections.detail as fate_detail
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
    where attempts.experiment = $experiment
        and ($round is null or attempts.round = $round)
        and ($problem_id is null or attempts.problem_id = $problem_id)
        and ($origin is null or attempts.origin = $origin)
        and ($outcome is null or attempts.outcome = $outcome)
),

final as (
    select *
    from fates
    where $fate is null or fate = $fate
)

select * from final
order by round desc, problem_id, origin, prompt_style, sample
limit $limit
