-- grain: problem of a round sampled adaptively whose attempts are not those that sampling stopped after
-- correct: may differ where the grader is not of one mind about one text, so it is not compared
with attempts as (
    select round, problem_id, count(*) as attempts, sum(completion_tokens)::bigint as sampled
    from rationales
    where experiment = $experiment
        and ($round is null or round = $round)
        and stage = 'generate'
        and origin = 'generated'
        and not superseded
    group by round, problem_id
),

stops as (
    select round, problem_id, samples, tokens, reason
    from sampling_stops
    where experiment = $experiment and ($round is null or round = $round) and not superseded
),

final as (
    select
        round,
        problem_id,
        stops.reason,
        coalesce(stops.samples, 0) as samples,
        coalesce(attempts.attempts, 0) as attempts,
        coalesce(stops.tokens, 0) as tokens,
        coalesce(attempts.sampled, 0) as sampled
    from stops
    full outer join attempts using (round, problem_id)
    where round in (select round from stops)
        and (
            stops.samples is distinct from coalesce(attempts.attempts, 0)
            or stops.tokens is distinct from coalesce(attempts.sampled, 0)
        )
)

select * from final
order by round, problem_id
