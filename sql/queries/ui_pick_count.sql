-- grain: one row: how many attempts of $experiment fit the filter of ui_pick, at how many problems
select count(*) as attempts, count(distinct problem_id) as problems
from attempts_fitting($experiment, $round, $origin, $split, $problem, $min_tokens, $max_tokens)
