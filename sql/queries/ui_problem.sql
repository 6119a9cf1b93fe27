-- grain: problem $problem_id of $experiment
select *
from current_problems
where experiment = $experiment and problem_id = $problem_id
