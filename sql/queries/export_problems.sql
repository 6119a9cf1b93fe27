-- grain: train problem
select *
from current_problems
where experiment = $experiment and split = 'train'
order by problem_id
