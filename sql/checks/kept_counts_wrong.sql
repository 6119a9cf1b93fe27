-- grain: round whose kept counts are not those of its attempts to train on
with present as (
    select
        round,
        count(*) as attempts,
        count(*) filter (outcome = 'correct') as correct,
        count(*) filter (outcome is null) as unverified,
        coalesce(sum(completion_tokens), 0)::bigint as tokens
    from current_rationales
    where experiment = $experiment and purpose = 'training' and ($round is null or round = $round)
    group by round
),

kept as (
    select
        round,
        sum(attempts)::bigint as attempts,
        sum(correct)::bigint as correct,
        sum(unverified)::bigint as unverified,
        sum(tokens)::bigint as tokens
    from counted_attempts
    where experiment = $experiment
    group by round
),

kept_fates as (
    select round, sum(attempts)::bigint as attempts
    from counted_fates
    where experiment = $experiment
    group by round
),

final as (
    select
        counted_rounds.round,
        present.attempts,
        kept.attempts as kept_attempts,
        kept_fates.attempts as kept_fates,
        present.correct,
        kept.correct as kept_correct
    from counted_rounds
    left join present on present.round = counted_rounds.round
    left join kept on kept.round = counted_rounds.round
    left join kept_fates on kept_fates.round = counted_rounds.round
    where counted_rounds.experiment = $experiment
        and ($round is null or counted_rounds.round = $round)
        and (
            present.attempts is distinct from kept.attempts
            or present.attempts is distinct from kept_fates.attempts
            or present.correct is distinct from kept.correct
            or present.unverified is distinct from kept.unverified
            or present.tokens is distinct from kept.tokens
        )
)

select * from final
order by round
