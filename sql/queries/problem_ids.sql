-- grain: problem of $experiment whose id begins with $beginning (null: none)
select problem_id
from current_problems
where experiment = $experiment and starts_with(problem_id, $beginning)
order by problem_id
limit 100
