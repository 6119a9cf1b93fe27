-- grain: attempt of a round that has selected, neither kept nor rejected with exactly one reason
with selected as (
    select distinct experiment, round
    from commits
    where experiment = $experiment and stage = 'select' and ($round is null or round = $round)
),

kept as (
    select experiment, from_round as round, rationale_id, count(*) as kept
    from current_training_rows
    where experiment = $experiment and round = from_round
    group by experiment, from_round, rationale_id
),

rejected as (
    select experiment, round, rationale_id, count(*) as rejections, list(reason order by reason) as reasons
    from current_rejections
    where experiment = $experiment and rationale_id is not null and stage = 'select'
    group by experiment, round, rationale_id
),

final as (
    select
        attempts.experiment,
        attempts.round,
        attempts.rationale_id,
        attempts.problem_id,
        attempts.origin,
        coalesce(kept.kept, 0) as kept,
        coalesce(rejected.rejections, 0) as rejections,
        rejected.reasons
    from rationales as attempts
    join selected on selected.experiment = attempts.experiment and selected.round = attempts.round
    left join kept
        on kept.experiment = attempts.experiment
        and kept.round = attempts.round
        and kept.rationale_id = attempts.rationale_id
    left join rejected
        on rejected.experiment = attempts.experiment
        and rejected.round = attempts.round
        and rejected.rationale_id = attempts.rationale_id
    where attempts.purpose = 'training'
        and not attempts.superseded
        and coalesce(kept.kept, 0) + coalesce(rejected.rejections, 0) <> 1
)

select * from final
order by round, problem_id, rationale_id
