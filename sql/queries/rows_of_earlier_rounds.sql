-- grain: training row that round from_round kept itself, of the rounds $first to $round - 1, newest first
-- flagged: what people said against it, or against a text that reads as it
with flagged as (
    select problem_id, norm_hash, string_agg(said, '; ' order by created_at, flag_id) as flagged
    from current_flags
    where experiment = $experiment and round <= $round
    group by problem_id, norm_hash
),

final as (
    select
        training_rows.rationale_id,
        training_rows.problem_id,
        training_rows.origin,
        training_rows.from_round,
        training_rows.sample,
        training_rows.grader_digest,
        training_rows.prompt,
        training_rows.prompt_hash,
        training_rows.completion,
        training_rows.norm_hash,
        training_rows.tokens,
        training_rows.input_ids,
        training_rows.labels,
        flagged.flagged
    from training_rows
    left join flagged
        on flagged.problem_id = training_rows.problem_id
        and flagged.norm_hash = training_rows.norm_hash
    where training_rows.experiment = $experiment
        and training_rows.round = training_rows.from_round
        and training_rows.round >= $first
        and training_rows.round < $round
        and not training_rows.superseded
        and training_rows.origin <> 'replay'  -- every round draws its own
)

select * from final
order by from_round desc, problem_id, origin, sample
