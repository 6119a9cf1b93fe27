-- grain: graded attempt of round $round, with its problem, the verdict that decides, and what people said against it
-- attempts of further sets are left out: they have graders of their own
with flagged as (
    select problem_id, norm_hash, string_agg(said, '; ' order by created_at, flag_id) as flagged
    from current_flags
    where experiment = $experiment and round <= $round
    group by problem_id, norm_hash
),

final as (
    select
        attempts.* exclude (answer, verdict_reason, verdict_answer),
        attempts.verdict_reason as reason,
        attempts.verdict_answer as answer,
        flagged.flagged
    from current_attempts as attempts
    left join flagged
        on flagged.problem_id = attempts.problem_id
        and flagged.norm_hash = attempts.norm_hash
    where attempts.experiment = $experiment
        and attempts.round = $round
        and attempts.outcome is not null
        and attempts.purpose <> 'further'
)

select * from final
order by problem_id, origin, prompt_style, purpose, sample
