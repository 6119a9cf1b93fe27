-- grain: round and origin of the attempts to train on
-- attempts = correct + wrong + ungraded + unverified; kept: rows of this round's training set that were made in it
with attempts as (
    select
        round,
        origin,
        count(*) as attempts,
        count(distinct problem_id) as problems,
        count(*) filter (outcome = 'correct') as correct,
        count(*) filter (outcome = 'wrong') as wrong,
        count(*) filter (outcome = 'ungraded') as ungraded,
        count(*) filter (outcome is null) as unverified,
        count(distinct problem_id) filter (outcome = 'correct') as problems_solved,
        count(*) filter (finish_reason = 'length') as cut_off,
        avg(completion_tokens) as mean_tokens
    from current_rationales
    where experiment = $experiment and purpose = 'training'
    group by round, origin
),

kept as (
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
        attempts.mean_tokens
    from attempts
    left join kept on kept.round = attempts.round and kept.origin = attempts.origin
)

select * from final
order by round, origin
