-- grain: attempt of $experiment that fits a filter which asks for verdicts, fates or flags too; newest round first
select rationale_id, round
from judged_attempts_fitting(
    $experiment, $round, $origin, $split, $problem, $min_tokens, $max_tokens,
    $outcome, $reason, $grader, $fate, $flagged
)
order by round desc, origin, problem_id, prompt_style, purpose, sample, rationale_id
limit $limit offset $offset
