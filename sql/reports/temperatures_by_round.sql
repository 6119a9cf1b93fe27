-- grain: round that chose its temperature on dev problems, and candidate
-- solved: problems with a correct, complete text; texts: distinct ones of a problem, right_texts: those of them that are
-- correct and complete (means); score: mean of min(right_texts / target, 1) * right_texts / texts, the balance score of
-- B-STaR (arXiv 2412.17256) with generate.temperatures.target; chosen: the best score, of equal ones the lowest
-- temperature
with by_problem as (
    select
        round,
        cast(sampling ->> '$.temperature' as double) as temperature,
        problem_id,
        count(*) as attempts,
        sum(completion_tokens) as tokens,
        count(distinct norm_hash) as texts,
        count(distinct norm_hash) filter (outcome = 'correct' and finish_reason <> 'length') as correct_texts
    from current_rationales
    where experiment = $experiment and stage = 'choose_temperature'
    group by all
),

targets as (
    select round, cast(config ->> '$.generate.temperatures.target' as integer) as target
    from rounds
    where experiment = $experiment
),

scored as (
    select
        by_problem.round,
        by_problem.temperature,
        count(*) as problems,
        count(*) filter (correct_texts > 0) as solved,
        sum(attempts)::bigint as attempts,
        sum(tokens)::bigint as tokens,
        avg(texts) as texts,
        avg(correct_texts) as right_texts,
        avg(least(correct_texts / targets.target, 1) * correct_texts / texts) as score
    from by_problem
    join targets on targets.round = by_problem.round
    group by by_problem.round, by_problem.temperature
),

final as (
    select
        *,
        row_number() over (partition by round order by round(score, 9) desc, temperature) = 1 as chosen
    from scored
)

select * from final
order by round, temperature
