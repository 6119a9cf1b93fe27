-- grain: training row that round from_round kept itself, of the rounds $first to $round - 1, newest first
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
    training_rows.labels
from training_rows
where training_rows.experiment = $experiment
    and training_rows.round = training_rows.from_round
    and training_rows.round >= $first
    and training_rows.round < $round
    and not training_rows.superseded
order by training_rows.from_round desc, training_rows.problem_id, training_rows.origin, training_rows.sample
