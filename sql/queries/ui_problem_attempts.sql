-- grain: attempt at problem $problem_id, round by round
select
    rationale_id,
    round,
    origin,
    purpose,
    sample,
    prompt_style,
    text,
    answer,
    hint,
    finish_reason,
    completion_tokens,
    outcome,
    verdict_reason,
    grader,
    fate,
    fate_detail,
    flagged
from attempt_fates
where experiment = $experiment and problem_id = $problem_id
order by round, purpose, origin, prompt_style, sample
limit $limit
