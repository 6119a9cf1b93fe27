-- grain: round, split, prompt style, metric (pass@k, maj@k) and difficulty ('all': over all difficulties)
-- dev and eval: as measured (evaluate.pass_at_k). train: from the samples that generate drew, k in powers of two up to
-- the fewest samples a problem has; pass@k is unbiased (arXiv 2107.03374), maj@k is of the first k samples, where an
-- unparsed answer has no vote and a problem without votes counts as not solved. Intervals of train: normal, 95%.
-- Of a problem with more samples than the fewest, the first ones count: adaptive sampling goes on where they failed, and
-- stops at a success, so that the share of correct ones among all of them would be off.
with samples as (
    select
        round,
        problem_id,
        coalesce(difficulty, '') as difficulty,
        prompt_style,
        sample,
        verdict_answer,
        outcome = 'correct' as correct
    from current_rationales
    where experiment = $experiment
        and purpose = 'training'
        and origin = 'generated'
        and outcome is not null
),

fewest as (
    select round, min(samples) as samples
    from (select round, problem_id, count(*) as samples from samples group by round, problem_id)
    group by round
),

powers as (
    select fewest.round, fewest.samples, unnest([x for x in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
        if x <= fewest.samples]) as k
    from fewest
),

solved as (
    select
        samples.round,
        samples.problem_id,
        any_value(samples.difficulty) as difficulty,
        any_value(samples.prompt_style) as prompt_style,
        count(*) as n,
        count(*) filter (samples.correct) as c
    from samples
    join fewest on fewest.round = samples.round and samples.sample < fewest.samples
    group by samples.round, samples.problem_id
),

passed as (
    select
        solved.round,
        solved.difficulty,
        solved.prompt_style,
        'pass@' || powers.k as metric,
        powers.samples,
        powers.k,
        case
            when n - c < k then 1.0
            else 1 - exp(lgamma(n - c + 1) + lgamma(n - k + 1) - lgamma(n - c - k + 1) - lgamma(n + 1))
        end as solved
    from solved
    join powers on powers.round = solved.round
),

votes as (
    select
        samples.round,
        samples.problem_id,
        samples.verdict_answer,
        count(*) as votes,
        min(samples.sample) as first_sample,
        arg_min(samples.correct, samples.sample) as correct
    from samples
    join fewest on fewest.round = samples.round
    where samples.sample < fewest.samples and samples.verdict_answer is not null
    group by samples.round, samples.problem_id, samples.verdict_answer
),

winners as (
    select round, problem_id, correct
    from votes
    qualify row_number() over (partition by round, problem_id order by votes desc, first_sample) = 1
),

voted as (
    select
        solved.round,
        solved.difficulty,
        solved.prompt_style,
        'maj@' || fewest.samples as metric,
        fewest.samples,
        fewest.samples as k,
        coalesce(winners.correct, false)::double as solved
    from solved
    join fewest on fewest.round = solved.round and fewest.samples > 1
    left join winners on winners.round = solved.round and winners.problem_id = solved.problem_id
),

from_train as (
    select
        round,
        'train' as split,
        metric,
        any_value(prompt_style) as prompt_style,
        case when grouping(difficulty) = 1 then 'all' else difficulty end as difficulty,
        count(*) as problems,
        any_value(samples) as samples,
        k,
        avg(solved) as value,
        greatest(0, avg(solved) - 1.959964 * coalesce(stddev_samp(solved), 0) / sqrt(count(*))) as low,
        least(1, avg(solved) + 1.959964 * coalesce(stddev_samp(solved), 0) / sqrt(count(*))) as high
    from (select * from passed union all select * from voted)
    group by grouping sets ((round, metric, k), (round, metric, k, difficulty))
),

measured as (
    select
        round,
        split,
        metric,
        prompt_style,
        coalesce(difficulty, 'all') as difficulty,
        problems,
        samples,
        k,
        value,
        low,
        high
    from current_evaluations
    where experiment = $experiment and (metric like 'pass@%' or metric like 'maj@%')
),

final as (
    select * from measured
    union all by name
    select * from from_train where difficulty <> ''
)

select * from final
order by split, prompt_style, difficulty = 'all' desc, difficulty, round, metric like 'maj@%', k
