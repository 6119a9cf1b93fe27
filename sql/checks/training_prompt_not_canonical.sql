-- grain: row of the training set whose prompt is not the canonical one of its problem (zero-shot, no hint)
with final as (
    select
        rows.experiment,
        rows.round,
        rows.rationale_id,
        rows.problem_id,
        rows.prompt_hash,
        current_problems.canonical_prompt_hash
    from current_training_rows as rows
    left join current_problems
        on current_problems.experiment = rows.experiment
        and current_problems.problem_id = rows.problem_id
    where rows.experiment = $experiment
        and rows.origin <> 'replay'
        and ($round is null or rows.round = $round)
        and (
            rows.prompt_hash is null
            or rows.prompt_hash is distinct from current_problems.canonical_prompt_hash
        )
)

select * from final
order by round, problem_id, rationale_id
