-- grain: row of the training set whose problem is held out (dev, eval), an exemplar, or unknown
with final as (
    select
        rows.experiment,
        rows.round,
        rows.rationale_id,
        rows.problem_id,
        current_problems.split,
        current_problems.exemplar
    from current_training_rows as rows
    left join current_problems
        on current_problems.experiment = rows.experiment
        and current_problems.problem_id = rows.problem_id
    where rows.experiment = $experiment
        and rows.origin <> 'replay'
        and ($round is null or rows.round = $round)
        and (current_problems.split is distinct from 'train' or current_problems.exemplar)
)

select * from final
order by round, problem_id, rationale_id
