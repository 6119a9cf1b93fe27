-- grain: attempt of $experiment that fits what it tells by itself, newest round first; null: all
select rationale_id, round
from rationales
where experiment = $experiment
    and not superseded
    and ($round is null or round = $round)
    and ($origin is null or origin = $origin)
    and ($split is null or split = $split)
    and ($problem is null or starts_with(problem_id, $problem))
    and ($min_tokens is null or completion_tokens >= $min_tokens)
    and ($max_tokens is null or completion_tokens <= $max_tokens)
order by round desc, origin, problem_id, prompt_style, purpose, sample, rationale_id
limit $limit offset $offset
