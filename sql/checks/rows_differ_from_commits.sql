-- grain: table, stage and shard whose current rows are not the number that its commit loaded (0: none recorded)
with present as (
    select 'problems' as table_name, round, stage, shard from problems
    where experiment = $experiment and not superseded
    union all
    select 'bad_problems', round, stage, shard from bad_problems
    where experiment = $experiment and not superseded
    union all
    select 'rationales', round, stage, shard from rationales
    where experiment = $experiment and not superseded
    union all
    select 'verdicts', round, stage, shard from verdicts
    where experiment = $experiment and not superseded
    union all
    select 'training_rows', round, stage, shard from training_rows
    where experiment = $experiment and not superseded
    union all
    select 'rejections', round, stage, shard from rejections
    where experiment = $experiment and not superseded
    union all
    select 'sampling_stops', round, stage, shard from sampling_stops
    where experiment = $experiment and not superseded
    union all
    select 'checkpoints', round, stage, shard from checkpoints
    where experiment = $experiment and not superseded
    union all
    select 'evaluations', round, stage, shard from evaluations
    where experiment = $experiment and not superseded
),

counted as (
    select table_name, round, stage, shard, count(*) as present
    from present
    group by table_name, round, stage, shard
),

committed as (
    select table_name, round, stage, shard, sum(rows)::bigint as committed
    from commits
    where experiment = $experiment and table_name is not null and table_name <> 'prompts'
    group by table_name, round, stage, shard
),

final as (
    select
        table_name,
        round,
        stage,
        shard,
        coalesce(counted.present, 0) as present,
        coalesce(committed.committed, 0) as committed
    from counted
    full outer join committed using (table_name, round, stage, shard)
    where ($round is null or round = $round)
        and coalesce(counted.present, 0) <> coalesce(committed.committed, 0)
)

select * from final
order by round, stage, shard, table_name
