-- grain: row that a round's model is trained on, with the attempt, the prompt, the seed and the model behind it
-- writer_hash wrote the attempt: the model of writer_round (0: the base); sent: the prompt as the model saw it, hint
-- and exemplars included; prompt: the canonical one that is trained on; checkpoint_hash: the model trained on the row
create or replace view training_lineage as
with models as (
    select experiment, content_hash, min(round) as round
    from checkpoints
    group by experiment, content_hash
),

final as (
    select
        rows.experiment,
        rows.round,
        rows.training_set_digest,
        trained.content_hash as checkpoint_hash,
        rows.problem_id,
        rows.origin,
        rows.from_round,
        rows.reused,
        rows.rationale_id,
        attempts.sample,
        attempts.seed,
        attempts.sampling,
        attempts.model_hash as writer_hash,
        case when attempts.model_hash = experiments.base_hash then 0 else models.round end as writer_round,
        attempts.engine,
        attempts.prompt_style,
        attempts.prompt_hash as sent_hash,
        prompts.text as sent,
        attempts.hint,
        attempts.text,
        rows.grader_digest,
        rows.prompt,
        rows.completion,
        rows.tokens
    from current_training_rows as rows
    anti join current_rejections as held_out
        on held_out.experiment = rows.experiment
        and held_out.round = rows.round
        and held_out.rationale_id = rows.rationale_id
        and held_out.reason = 'held_out'
    join experiments on experiments.experiment = rows.experiment
    left join rationales as attempts
        on attempts.experiment = rows.experiment
        and attempts.round = rows.from_round
        and attempts.rationale_id = rows.rationale_id
    left join prompts on prompts.prompt_hash = attempts.prompt_hash
    left join models
        on models.experiment = rows.experiment and models.content_hash = attempts.model_hash
    left join current_checkpoints as trained
        on trained.experiment = rows.experiment and trained.round = rows.round and trained.variant = 'main'
    -- An attempt that was made again with the same inputs has its id, and what it replaced is still there.
    qualify row_number() over (
        partition by rows.experiment, rows.round, rows.rationale_id
        order by attempts.superseded, attempts.created_at desc
    ) = 1
)

select * from final;
