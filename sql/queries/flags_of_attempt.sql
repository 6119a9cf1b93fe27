-- grain: flag on one attempt, newest first, those that were taken back too
select *
from flags
where experiment = $experiment and rationale_id = $rationale_id
order by created_at desc, flag_id
