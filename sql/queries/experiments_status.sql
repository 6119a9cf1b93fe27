-- grain: experiment, newest first: rounds finished, how good it got, and what ran last
with finished as (
    select
        experiment,
        count(*) filter (status in ('done', 'forked')) as rounds_done,
        max(round) as round,
        arg_max(decision, round) as decision,
        arg_max(reason, round) as reason,
        arg_max(coalesce(eval_accuracy, dev_accuracy), round)
            filter (coalesce(eval_accuracy, dev_accuracy) is not null) as accuracy,
        sum(seconds) as seconds
    from rounds_summary
    group by experiment
),

last_run as (
    select experiment, round as last_round, stage as last_stage, status as last_status, error as last_error
    from stage_runs
    qualify row_number() over (partition by experiment order by started_at desc, round desc, execution desc) = 1
),

final as (
    select
        experiments.experiment,
        experiments.base_model,
        cast(json_extract(experiments.config, '$.rounds') as integer) as rounds,
        finished.* exclude (experiment),
        last_run.* exclude (experiment),
        experiments.created_at
    from experiments
    left join finished on finished.experiment = experiments.experiment
    left join last_run on last_run.experiment = experiments.experiment
)

select * from final
order by created_at desc, experiment
