-- grain: row of the training set whose token ids and labels do not fit: lengths, prompt unmasked, end untrained
with final as (
    select
        experiment,
        round,
        rationale_id,
        problem_id,
        tokens,
        len(input_ids) as ids,
        len(labels) as labels,
        labels[1] as first_label,
        labels[-1] as last_label,
        input_ids[-1] as last_id
    from current_training_rows
    where experiment = $experiment
        and ($round is null or round = $round)
        and not (
            len(input_ids) = tokens
            and len(labels) = tokens
            and tokens > 1
            and labels[1] = -100
            and labels[-1] = input_ids[-1]
        )
)

select * from final
order by round, problem_id, rationale_id
