-- grain: attempt of one part of $experiment that fits the filter of ui_attempts and has $text in it, in order of its id
-- a part: the attempts of round $round at every $parts-th problem; $after: the id to go on behind
with found as (
    select rationale_id
    from judged_attempts_fitting(
        $experiment, $round, $origin, $split, $problem, $min_tokens, $max_tokens,
        $outcome, $reason, $grader, $fate, $flagged
    )
    where hash(problem_id) % $parts = $part
        and rationale_id > $after
        and contains(lower(text), lower($text))
    order by rationale_id
    limit $limit
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
    from found
    join attempt_fates as attempts
        on attempts.experiment = $experiment
        and attempts.round = $round
        and attempts.rationale_id = found.rationale_id
    left join current_problems
        on current_problems.experiment = $experiment and current_problems.problem_id = attempts.problem_id
)

select * from final
order by rationale_id
