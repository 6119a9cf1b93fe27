-- grain: trained model, with what it was started from and the rows it was trained on
-- parent_round: 0 is the base; rows is what the trainer recorded, and generated_rows + rationalized_rows +
-- imported_rows + replay_rows those that the tables hold; writers: hashes of the models that wrote them
create or replace view checkpoint_lineage as
with models as (
    select experiment, content_hash, min(round) as round
    from checkpoints
    group by experiment, content_hash
),

trained_on as (
    select
        experiment,
        round,
        training_set_digest,
        count(*) filter (origin = 'generated') as generated_rows,
        count(*) filter (origin = 'rationalized') as rationalized_rows,
        count(*) filter (origin = 'imported') as imported_rows,
        count(*) filter (origin = 'replay') as replay_rows,
        count(*) filter (reused) as reused_rows,
        count(distinct problem_id) filter (origin <> 'replay') as problems,
        min(from_round) as first_round
    from current_training_rows
    group by experiment, round, training_set_digest
),

written_by as (
    select
        rows.experiment,
        rows.round,
        rows.training_set_digest,
        list(distinct attempts.model_hash order by attempts.model_hash) as writers
    from current_training_rows as rows
    join rationales as attempts
        on attempts.experiment = rows.experiment
        and attempts.round = rows.from_round
        and attempts.rationale_id = rows.rationale_id
    group by rows.experiment, rows.round, rows.training_set_digest
),

final as (
    select
        current_checkpoints.experiment,
        current_checkpoints.round,
        current_checkpoints.variant,
        current_checkpoints.content_hash,
        current_checkpoints.path,
        current_checkpoints.parent_hash,
        case
            when current_checkpoints.parent_hash = current_checkpoints.base_hash then 0
            else parents.round
        end as parent_round,
        current_checkpoints.base_hash,
        experiments.base_model,
        current_checkpoints.training_set_digest,
        current_checkpoints.rows,
        coalesce(trained_on.generated_rows, 0) as generated_rows,
        coalesce(trained_on.rationalized_rows, 0) as rationalized_rows,
        coalesce(trained_on.imported_rows, 0) as imported_rows,
        coalesce(trained_on.replay_rows, 0) as replay_rows,
        coalesce(trained_on.reused_rows, 0) as reused_rows,
        coalesce(trained_on.problems, 0) as problems,
        trained_on.first_round,
        written_by.writers,
        current_checkpoints.steps,
        current_checkpoints.epochs,
        current_checkpoints.tokens,
        current_checkpoints.loss
    from current_checkpoints
    join experiments on experiments.experiment = current_checkpoints.experiment
    left join trained_on
        on trained_on.experiment = current_checkpoints.experiment
        and trained_on.round = current_checkpoints.round
        and trained_on.training_set_digest = current_checkpoints.training_set_digest
    left join written_by
        on written_by.experiment = current_checkpoints.experiment
        and written_by.round = current_checkpoints.round
        and written_by.training_set_digest = current_checkpoints.training_set_digest
    left join models as parents
        on parents.experiment = current_checkpoints.experiment
        and parents.content_hash = current_checkpoints.parent_hash
)

select * from final;
