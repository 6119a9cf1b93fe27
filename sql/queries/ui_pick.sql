-- grain: attempt of $experiment that fits what it tells by itself, newest round first; null: all
select rationale_id, round
from attempts_fitting($experiment, $round, $origin, $split, $problem, $min_tokens, $max_tokens)
order by round desc, origin, problem_id, prompt_style, purpose, sample, rationale_id
limit $limit offset $offset
