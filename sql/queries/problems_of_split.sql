-- grain: problem of one split
select *
from current_problems
where experiment = $experiment and split = $split
order by problem_id
