-- grain: round and stage: time, tokens and memory of its finished executions, and how often it was interrupted
-- engine_seconds: in which a model wrote or was trained; engine_share: of seconds; engine_tokens: what it then wrote or
-- saw, which tokens_per_second is of; memory is the most of one shard: of its process tree, and of the GPU's
with runs as (
    select
        * exclude (engine_tokens),
        status = 'done' as done,
        coalesce(engine_tokens, nullif(tokens, 0)) as engine_tokens
    from stage_runs
    where experiment = $experiment
),

final as (
    select
        round,
        stage,
        max(shards) as shards,
        count(*) as executions,
        count(*) filter (status = 'failed') as failed,
        count(*) filter (status = 'interrupted') as interrupted,
        sum(seconds) filter (done) as seconds,
        sum(engine_seconds) filter (done) as engine_seconds,
        sum(engine_seconds) filter (done) / nullif(sum(seconds) filter (done), 0) as engine_share,
        coalesce(sum(tokens) filter (done), 0)::bigint as tokens,
        (sum(engine_tokens) filter (done))::bigint as engine_tokens,
        sum(engine_tokens) filter (done) / nullif(sum(seconds) filter (done), 0) as tokens_per_second,
        max(peak_memory) filter (done) as peak_memory_mib,
        max(peak_gpu_memory) filter (done) as peak_gpu_memory_mib,
        any_value(device) filter (done) as device,
        min(started_at) as first_started_at,
        max(finished_at) as last_finished_at
    from runs
    group by round, stage
)

select * from final
order by round, first_started_at, stage
