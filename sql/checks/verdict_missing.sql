-- grain: attempt without a verdict that decides, although the stage that grades it is done
with graded_by as (
    select *
    from (
        values
            ('choose_temperature', 'choose_temperature'),
            ('generate', 'verify_generated'),
            ('rationalize', 'verify_rationalized'),
            ('regenerate', 'verify_regenerated'),
            ('evaluate', 'verify_evaluated')
    ) as pairs (stage, verify_stage)
),

verified as (
    select round, stage as verify_stage
    from commits
    where experiment = $experiment and ($round is null or round = $round)
    group by round, stage, shards
    having count(distinct shard) = shards
),

final as (
    select
        attempts.experiment,
        attempts.round,
        attempts.stage,
        attempts.rationale_id,
        attempts.problem_id
    from current_rationales as attempts
    join graded_by on graded_by.stage = attempts.stage
    join verified
        on verified.round = attempts.round and verified.verify_stage = graded_by.verify_stage
    where attempts.experiment = $experiment and attempts.outcome is null
)

select * from final
order by round, stage, rationale_id
