-- grain: problem that may be trained on: exemplars and contaminated problems never became problems
select *
from current_problems
where experiment = $experiment and split = 'train'
order by problem_id
