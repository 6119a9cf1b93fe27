-- grain: attempt $rationale_id of $experiment: what a flag on it records
select experiment, round, rationale_id, problem_id, norm_hash
from rationales
where experiment = $experiment and rationale_id = $rationale_id and not superseded
limit 1
