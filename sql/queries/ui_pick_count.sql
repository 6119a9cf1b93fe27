-- grain: one row: how many attempts of $experiment fit the filter of ui_pick, at how many problems
select count(*) as attempts, count(distinct problem_id) as problems
from rationales
where experiment = $experiment
    and not superseded
    and ($round is null or round = $round)
    and ($origin is null or origin = $origin)
    and ($split is null or split = $split)
    and ($problem is null or starts_with(problem_id, $problem))
    and ($min_tokens is null or completion_tokens >= $min_tokens)
    and ($max_tokens is null or completion_tokens <= $max_tokens)
