-- grain: round and source of the problems attempted: what their attempts gave
-- attempts = correct + wrong + ungraded + unverified; kept: of them in the round's training set, kept_share: of its rows
-- that were made in the round
with attempts as (
    select attempts.*, kept.rationale_id is not null as kept
    from current_attempts as attempts
    left join current_training_rows as kept
        on kept.experiment = attempts.experiment
        and kept.round = attempts.round
        and kept.rationale_id = attempts.rationale_id
    where attempts.experiment = $experiment and attempts.purpose = 'training'
),

final as (
    select
        round,
        source,
        count(distinct problem_id) as problems,
        count(distinct problem_id) filter (outcome = 'correct') as problems_solved,
        count(*) as attempts,
        count(*) filter (outcome = 'correct') as correct,
        count(*) filter (outcome = 'wrong') as wrong,
        count(*) filter (outcome = 'ungraded') as ungraded,
        count(*) filter (outcome is null) as unverified,
        count(*) filter (kept) as kept,
        count(*) filter (kept) / nullif(sum(count(*) filter (kept)) over (partition by round), 0) as kept_share
    from attempts
    group by round, source
)

select * from final
order by round, source
