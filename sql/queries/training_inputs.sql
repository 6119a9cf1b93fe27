-- grain: training row of round $round, in the order that training shuffles by its seed
select rationale_id, problem_id, input_ids, labels
from training_rows
where experiment = $experiment
    and round = $round
    and not superseded
order by from_round, problem_id, origin, sample
