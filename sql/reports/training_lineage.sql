-- grain: row that the model of round $round is trained on, with the attempt, prompt, seed and model behind it
-- columns: see the view training_lineage
select *
from training_lineage
where experiment = $experiment and round = $round
order by from_round, problem_id, origin, sample, rationale_id
