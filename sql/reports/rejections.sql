-- grain: round and reason: what was left out of the training set, and of how many attempts of that round
with attempts as (
    select round, sum(attempts)::bigint as attempts
    from attempt_counts
    where experiment = $experiment
    group by round
),

rejected as (
    select
        round,
        reason,
        count(*) as rejections,
        count(rationale_id) as attempts_rejected,
        count(distinct problem_id) as problems,
        min(detail) as example
    from current_rejections
    where experiment = $experiment
    group by round, reason
),

final as (
    select
        rejected.round,
        rejected.reason,
        rejected.rejections,
        rejected.problems,
        rejected.attempts_rejected / attempts.attempts as share_of_attempts,
        rejected.example
    from rejected
    left join attempts on attempts.round = rejected.round
)

select * from final
order by round, rejections desc, reason
