-- grain: row of the training set whose attempt its grader did not call correct, in a round that filters
with filtered as (
    select experiment, round
    from rounds
    where experiment = $experiment and (config ->> '$.select.filter') is distinct from 'none'
),

final as (
    select
        rows.experiment,
        rows.round,
        rows.from_round,
        rows.rationale_id,
        rows.problem_id,
        rows.grader_digest,
        verdicts.outcome
    from current_training_rows as rows
    join filtered on filtered.experiment = rows.experiment and filtered.round = rows.from_round
    left join verdicts
        on verdicts.experiment = rows.experiment
        and verdicts.rationale_id = rows.rationale_id
        and verdicts.grader_digest = rows.grader_digest
        and not verdicts.superseded
    where rows.experiment = $experiment
        and rows.origin <> 'replay'
        and ($round is null or rows.round = $round)
        and verdicts.outcome is distinct from 'correct'
)

select * from final
order by round, problem_id, rationale_id
