-- grain: round and stage: time, tokens and memory of its finished executions, and how often it was interrupted
with final as (
    select
        round,
        stage,
        max(shards) as shards,
        count(*) as executions,
        count(*) filter (status = 'failed') as failed,
        count(*) filter (status = 'interrupted') as interrupted,
        sum(seconds) filter (status = 'done') as seconds,
        coalesce(sum(tokens) filter (status = 'done'), 0)::bigint as tokens,
        sum(tokens) filter (status = 'done') / nullif(sum(seconds) filter (status = 'done'), 0)
            as tokens_per_second,
        max(peak_memory) filter (status = 'done') as peak_memory_mib,
        any_value(device) filter (status = 'done') as device,
        min(started_at) as first_started_at,
        max(finished_at) as last_finished_at
    from stage_runs
    where experiment = $experiment
    group by round, stage
)

select * from final
order by round, first_started_at, stage
