-- grain: checkpoint whose training set is not the one its round holds: another count, or another digest
-- rows that measured the training (`held_out`) were not trained on
with held_out as (
    select experiment, round, count(*) as held_out
    from current_rejections
    where experiment = $experiment and reason = 'held_out'
    group by experiment, round
),

training_sets as (
    select
        experiment,
        round,
        count(*) as present,
        min(training_set_digest) as first_digest,
        max(training_set_digest) as last_digest
    from current_training_rows
    where experiment = $experiment and ($round is null or round = $round)
    group by experiment, round
),

final as (
    select
        trained.experiment,
        trained.round,
        trained.variant,
        trained.rows,
        coalesce(training_sets.present, 0) - coalesce(held_out.held_out, 0) as present,
        trained.training_set_digest,
        training_sets.first_digest,
        training_sets.last_digest
    from current_checkpoints as trained
    left join training_sets
        on training_sets.experiment = trained.experiment and training_sets.round = trained.round
    left join held_out
        on held_out.experiment = trained.experiment and held_out.round = trained.round
    where trained.experiment = $experiment
        and ($round is null or trained.round = $round)
        and trained.variant = 'main'
        and (
            trained.rows is distinct from training_sets.present - coalesce(held_out.held_out, 0)
            or trained.training_set_digest is distinct from training_sets.first_digest
            or trained.training_set_digest is distinct from training_sets.last_digest
        )
)

select * from final
order by round, variant
