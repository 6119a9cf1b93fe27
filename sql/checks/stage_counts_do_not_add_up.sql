-- grain: shard of a writing stage whose asked, written and rejected numbers differ from its rows
with runs as (
    select
        experiment,
        round,
        stage,
        shard,
        arg_max(rows_in, execution) as asked,
        arg_max(rows_out, execution) as written
    from stage_runs
    where experiment = $experiment
        and ($round is null or round = $round)
        and stage in ('choose_temperature', 'generate', 'rationalize', 'regenerate', 'evaluate')
        and status = 'done'
    group by experiment, round, stage, shard
),

committed as (
    select distinct experiment, round, stage, shard
    from commits
    where experiment = $experiment
),

attempts as (
    select experiment, round, stage, shard, count(*) as attempts
    from rationales
    where experiment = $experiment and not superseded
    group by experiment, round, stage, shard
),

rejected as (
    select experiment, round, stage, shard, count(*) as rejections
    from current_rejections
    where experiment = $experiment
    group by experiment, round, stage, shard
),

counts as (
    select
        runs.*,
        coalesce(attempts.attempts, 0) as attempts,
        coalesce(rejected.rejections, 0) as rejections
    from runs
    join committed
        on committed.experiment = runs.experiment
        and committed.round = runs.round
        and committed.stage = runs.stage
        and committed.shard = runs.shard
    left join attempts
        on attempts.experiment = runs.experiment
        and attempts.round = runs.round
        and attempts.stage = runs.stage
        and attempts.shard = runs.shard
    left join rejected
        on rejected.experiment = runs.experiment
        and rejected.round = runs.round
        and rejected.stage = runs.stage
        and rejected.shard = runs.shard
),

final as (
    select *
    from counts
    where attempts <> written or attempts + rejections <> asked
)

select * from final
order by round, stage, shard
