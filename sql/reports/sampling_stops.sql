-- grain: round, why adaptive sampling stopped, and difficulty ('all': over all difficulties)
-- reason: enough (correct rationales), samples (as many as generate.samples), budget (no tokens left), hopeless (below
-- generate.adaptive.give_up), prompt_too_long; 'any': over all reasons. correct: could be kept, each text once;
-- solved: problems with one; samples_each: mean of a problem; tokens_per_correct: what one such rationale cost;
-- pass_rate: mean of the estimates when sampling stopped. Empty where every problem gets generate.samples
with stops as (
    select round, reason, coalesce(difficulty, '') as difficulty, samples, correct, tokens, pass_rate
    from sampling_stops
    where experiment = $experiment and not superseded
),

final as (
    select
        round,
        case when grouping(reason) = 1 then 'any' else reason end as reason,
        case when grouping(difficulty) = 1 then 'all' else difficulty end as difficulty,
        count(*) as problems,
        count(*) filter (correct > 0) as solved,
        sum(samples)::bigint as samples,
        sum(correct)::bigint as correct,
        sum(tokens)::bigint as tokens,
        avg(samples) as samples_each,
        sum(tokens) / nullif(sum(correct), 0) as tokens_per_correct,
        avg(pass_rate) as pass_rate
    from stops
    group by grouping sets ((round), (round, reason), (round, difficulty), (round, reason, difficulty))
)

select * from final
where difficulty <> ''
order by round, reason = 'any' desc, reason, difficulty = 'all' desc, difficulty
