-- grain: round, purpose, origin and outcome ('pending': not graded yet) of attempts: how long their texts are
-- tokens are those of the completion; total_tokens: their sum; prompt_tokens: mean of what was sent; kept: of them in
-- the training set
with attempts as (
    select
        attempts.*,
        kept.rationale_id is not null as kept
    from current_rationales as attempts
    left join current_training_rows as kept
        on kept.experiment = attempts.experiment
        and kept.round = attempts.round
        and kept.rationale_id = attempts.rationale_id
    where attempts.experiment = $experiment
),

final as (
    select
        round,
        purpose,
        origin,
        coalesce(outcome, 'pending') as outcome,
        count(*) as attempts,
        count(*) filter (kept) as kept,
        avg(completion_tokens) as mean_tokens,
        quantile_cont(completion_tokens, 0.5) as median_tokens,
        quantile_cont(completion_tokens, 0.95) as p95_tokens,
        max(completion_tokens) as most_tokens,
        sum(completion_tokens)::bigint as total_tokens,
        avg(text_chars) as mean_chars,
        avg(prompt_tokens) as prompt_tokens
    from attempts
    group by round, purpose, origin, coalesce(outcome, 'pending')
)

select * from final
order by purpose = 'training' desc, purpose, round, origin, outcome
