-- grain: attempt of $ids, all of rounds $first to $last of $experiment, in the order of ui_pick
with wanted as (
    select unnest($ids::varchar[]) as rationale_id
),

verdict as (
    select rationale_id, outcome, reason
    from current_verdicts
    where experiment = $experiment
        and round between $first and $last
        and rationale_id in (select rationale_id from wanted)
),

kept as (
    select rationale_id, round
    from current_training_rows
    where experiment = $experiment
        and round between $first and $last
        and rationale_id in (select rationale_id from wanted)
),

rejected as (
    select rationale_id, round, reason
    from current_rejections
    where experiment = $experiment
        and round between $first and $last
        and rationale_id in (select rationale_id from wanted)
),

final as (
    select
        attempts.rationale_id,
        attempts.round,
        attempts.origin,
        attempts.purpose,
        attempts.split,
        attempts.problem_id,
        attempts.sample,
        attempts.prompt_style,
        attempts.text,
        attempts.completion_tokens,
        current_problems.question,
        verdict.outcome,
        verdict.reason as verdict_reason,
        case
            when kept.rationale_id is not null then coalesce(rejected.reason, 'kept')
            when attempts.purpose = 'training' then coalesce(rejected.reason, 'pending')
        end as fate,
        flagged_attempts.flagged
    from rationales as attempts
    left join current_problems
        on current_problems.experiment = $experiment and current_problems.problem_id = attempts.problem_id
    left join verdict on verdict.rationale_id = attempts.rationale_id
    left join kept on kept.rationale_id = attempts.rationale_id and kept.round = attempts.round
    left join rejected on rejected.rationale_id = attempts.rationale_id and rejected.round = attempts.round
    left join flagged_attempts
        on flagged_attempts.experiment = $experiment
        and flagged_attempts.round = attempts.round
        and flagged_attempts.rationale_id = attempts.rationale_id
    where attempts.experiment = $experiment
        and attempts.round between $first and $last
        and not attempts.superseded
        and attempts.rationale_id in (select rationale_id from wanted)
)

select * from final
order by round desc, origin, problem_id, prompt_style, purpose, sample, rationale_id
