-- grain: verdict on attempt $rationale_id, the deciding one first
select grader, grader_digest, outcome, score, reason, answer, subscores, elapsed_ms, decides, stage
from verdicts
where experiment = $experiment and rationale_id = $rationale_id and not superseded
order by decides desc, grader, grader_digest
