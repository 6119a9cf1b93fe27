-- grain: attempt of of_experiment that no later run replaced and that fits what it tells by itself; null: all
-- of_problem: how its problem's id begins
create or replace macro attempts_fitting(
    of_experiment, of_round, of_origin, of_split, of_problem, least_tokens, most_tokens
) as table
select *
from rationales
where experiment = of_experiment
    and not superseded
    and (of_round is null or round = of_round)
    and (of_origin is null or origin = of_origin)
    and (of_split is null or split = of_split)
    and (of_problem is null or starts_with(problem_id, of_problem))
    and (least_tokens is null or completion_tokens >= least_tokens)
    and (most_tokens is null or completion_tokens <= most_tokens);
