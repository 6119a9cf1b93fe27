-- grain: attempt of $experiment that fits the filter and has $text in it, newest round first
-- $round to $flagged narrow it down as in judged_attempts_fitting; null: all
with final as (
    select
        attempts.rationale_id,
        attempts.round,
        attempts.origin,
        attempts.purpose,
        attempts.split,
        attempts.problem_id,
        attempts.difficulty,
        attempts.sample,
        attempts.prompt_style,
        current_problems.question,
        current_problems.answer as gold,
        attempts.hint,
        attempts.text,
        attempts.answer,
        attempts.finish_reason,
        attempts.completion_tokens,
        attempts.outcome,
        attempts.score,
        attempts.verdict_reason,
        attempts.grader,
        attempts.fate,
        attempts.fate_detail,
        attempts.flagged,
        attempts.model_hash
    from judged_attempts_fitting(
        $experiment, $round, $origin, $split, $problem, $min_tokens, $max_tokens,
        $outcome, $reason, $grader, $fate, $flagged
    ) as attempts
    left join current_problems
        on current_problems.experiment = $experiment and current_problems.problem_id = attempts.problem_id
    where $text is null or contains(lower(attempts.text), lower($text))
)

select * from final
order by round desc, origin, problem_id, prompt_style, purpose, sample, rationale_id
