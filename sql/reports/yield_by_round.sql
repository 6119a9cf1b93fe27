-- grain: round and origin of the attempts to train on
-- attempts = correct + wrong + ungraded + unverified; kept: rows of this round's training set that were made in it
with kept as (
    select round, origin, count(*) as kept
    from current_training_rows
    where experiment = $experiment and not reused
    group by round, origin
),

final as (
    select
        attempts.round,
        attempts.origin,
        attempts.problems,
        attempts.problems_solved,
        attempts.attempts,
        attempts.correct,
        attempts.wrong,
        attempts.ungraded,
        attempts.unverified,
        attempts.cut_off,
        coalesce(kept.kept, 0) as kept,
        attempts.correct / attempts.attempts as correct_share,
        coalesce(kept.kept, 0) / attempts.attempts as kept_share,
        attempts.tokens / attempts.attempts as mean_tokens
    from attempt_counts as attempts
    left join kept on kept.round = attempts.round and kept.origin = attempts.origin
    where attempts.experiment = $experiment
)

select * from final
order by round, origin
