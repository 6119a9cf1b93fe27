-- grain: round and step after which its training was measured on held-out rows (train.held_out)
-- loss: in nats per trained token, the mean of its batches; kept: whether the round's model has the weights of that step
with trainings as (
    select
        round,
        unnest(from_json(detail -> '$.held_out.losses', '[["DOUBLE"]]')) as measured,
        cast(detail ->> '$.held_out.best_step' as bigint) as best_step
    from stage_runs
    where experiment = $experiment and stage = 'train' and status = 'done'
    qualify row_number() over (partition by round order by execution desc) = 1
),

final as (
    select
        round,
        measured[1]::bigint as step,
        measured[2] as loss,
        measured[1] = best_step as kept
    from trainings
)

select * from final
order by round, step
