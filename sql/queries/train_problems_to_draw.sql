-- grain: problem that may be trained on in round $round, with no more of it than a draw goes by
select problem_id, difficulty, source
from current_problems
where experiment = $experiment and split = 'train' and added_round <= $round
order by problem_id
