-- grain: problem that may be trained on in round $round: exemplars and contaminated problems never became problems
select *
from current_problems
where experiment = $experiment and split = 'train' and added_round <= $round
order by problem_id
