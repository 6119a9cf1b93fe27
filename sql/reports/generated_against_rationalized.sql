-- grain: round: what attempts without the hint gave, and what those with it gave beside them
-- *_tokens: sampled; *_solved: problems with a correct attempt; *_rows: kept of this round's attempts;
-- *_tokens_per_row: what a kept row cost; *_length: mean tokens of a kept completion. only_by_hint: problems that only
-- the hint solved in this round; of those, learned: solved without it in a later round, tried_later: attempted again
with attempts as (
    select
        round,
        problem_id,
        origin,
        sum(completion_tokens) as tokens,
        bool_or(outcome is not distinct from 'correct') as solved
    from current_rationales
    where experiment = $experiment and purpose = 'training' and origin in ('generated', 'rationalized')
    group by round, problem_id, origin
),

kept as (
    select
        rows.round,
        count(*) filter (rows.origin = 'generated') as generated_rows,
        count(*) filter (rows.origin = 'rationalized') as rationalized_rows,
        avg(attempts.completion_tokens) filter (rows.origin = 'generated') as generated_length,
        avg(attempts.completion_tokens) filter (rows.origin = 'rationalized') as rationalized_length
    from current_training_rows as rows
    join current_rationales as attempts
        on attempts.experiment = rows.experiment
        and attempts.round = rows.round
        and attempts.rationale_id = rows.rationale_id
    where rows.experiment = $experiment and not rows.reused
    group by rows.round
),

totals as (
    select
        round,
        count(*) filter (origin = 'generated') as problems,
        count(*) filter (origin = 'generated' and solved) as generated_solved,
        count(*) filter (origin = 'rationalized') as rationalized,
        count(*) filter (origin = 'rationalized' and solved) as rationalized_solved,
        coalesce(sum(tokens) filter (origin = 'generated'), 0)::bigint as generated_tokens,
        coalesce(sum(tokens) filter (origin = 'rationalized'), 0)::bigint as rationalized_tokens
    from attempts
    group by round
),

hinted as (
    select round, problem_id
    from attempts
    group by round, problem_id
    having coalesce(bool_or(solved) filter (origin = 'rationalized'), false)
        and not coalesce(bool_or(solved) filter (origin = 'generated'), false)
),

afterwards as (
    select
        hinted.round,
        hinted.problem_id,
        count(later.problem_id) > 0 as tried,
        coalesce(bool_or(later.solved), false) as learned
    from hinted
    left join attempts as later
        on later.problem_id = hinted.problem_id
        and later.round > hinted.round
        and later.origin = 'generated'
    group by hinted.round, hinted.problem_id
),

transfer as (
    select
        round,
        count(*) as only_by_hint,
        count(*) filter (tried) as tried_later,
        count(*) filter (learned) as learned
    from afterwards
    group by round
),

final as (
    select
        totals.*,
        coalesce(kept.generated_rows, 0) as generated_rows,
        coalesce(kept.rationalized_rows, 0) as rationalized_rows,
        totals.generated_tokens / nullif(kept.generated_rows, 0) as generated_tokens_per_row,
        totals.rationalized_tokens / nullif(kept.rationalized_rows, 0) as rationalized_tokens_per_row,
        kept.generated_length,
        kept.rationalized_length,
        coalesce(transfer.only_by_hint, 0) as only_by_hint,
        coalesce(transfer.tried_later, 0) as tried_later,
        coalesce(transfer.learned, 0) as learned
    from totals
    left join kept on kept.round = totals.round
    left join transfer on transfer.round = totals.round
)

select * from final
order by round
