-- grain: stage and shard of a round of $experiment: its last execution
select
    round,
    stage,
    shard,
    shards,
    execution,
    status,
    summary,
    error,
    rows_in,
    rows_out,
    tokens,
    seconds,
    engine_seconds,
    engine_tokens,
    peak_memory,
    peak_gpu_memory,
    detail,
    host,
    device,
    started_at,
    finished_at
from stage_runs
where experiment = $experiment
qualify row_number() over (partition by round, stage, shard order by execution desc) = 1
order by round, started_at, shard
