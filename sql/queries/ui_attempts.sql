-- grain: attempt of $experiment that fits the filter and has $text in it, newest round first
-- $round to $flagged narrow it down; null: all. $grader: its verdict is meant by $outcome and $reason, else the deciding one
with graded as (
    select distinct rationale_id
    from verdicts
    where experiment = $experiment
        and ($round is null or round = $round)
        and not superseded
        and case when $grader is null then decides else grader = $grader end
        and ($outcome is null or outcome = $outcome)
        and ($reason is null or reason = $reason)
),

final as (
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
    from attempt_fates as attempts
    left join current_problems
        on current_problems.experiment = $experiment and current_problems.problem_id = attempts.problem_id
    where attempts.experiment = $experiment
        and ($round is null or attempts.round = $round)
        and ($origin is null or attempts.origin = $origin)
        and ($split is null or attempts.split = $split)
        and ($problem is null or starts_with(attempts.problem_id, $problem))
        and ($fate is null or attempts.fate = $fate)
        and ($min_tokens is null or attempts.completion_tokens >= $min_tokens)
        and ($max_tokens is null or attempts.completion_tokens <= $max_tokens)
        and (not $flagged or attempts.flagged is not null)
        and (
            ($grader is null and $outcome is null and $reason is null)
            or attempts.rationale_id in (select rationale_id from graded)
        )
        and ($text is null or contains(lower(attempts.text), lower($text)))
)

select * from final
order by round desc, origin, problem_id, prompt_style, purpose, sample, rationale_id
