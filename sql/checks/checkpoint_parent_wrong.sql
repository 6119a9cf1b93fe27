-- grain: checkpoint that was not started from what its round's config says, or stands on another base
with parents as (
    select
        trained.experiment,
        trained.round,
        trained.variant,
        trained.parent_hash,
        trained.base_hash,
        experiments.base_hash as recorded_base_hash,
        rounds.config ->> '$.train.start' as start,
        case
            when (rounds.config ->> '$.train.start') = 'previous'
                then coalesce(previous.content_hash, experiments.base_hash)
            else experiments.base_hash
        end as expected_parent_hash
    from current_checkpoints as trained
    join experiments on experiments.experiment = trained.experiment
    join rounds on rounds.experiment = trained.experiment and rounds.round = trained.round
    left join current_checkpoints as previous
        on previous.experiment = trained.experiment
        and previous.variant = trained.variant
        and previous.round = trained.round - 1
    where trained.experiment = $experiment and ($round is null or trained.round = $round)
),

final as (
    select *
    from parents
    where parent_hash is distinct from expected_parent_hash or base_hash is distinct from recorded_base_hash
)

select * from final
order by round, variant
