-- grain: rationalized attempt of round $round and shard that is correct, with its problem
select current_problems.*, attempts.text, attempts.sample
from current_rationales as attempts
join current_problems
    on current_problems.experiment = attempts.experiment and current_problems.problem_id = attempts.problem_id
where attempts.experiment = $experiment
    and attempts.round = $round
    and attempts.stage = 'rationalize'
    and attempts.shard = $shard
    and attempts.outcome = 'correct'
order by attempts.problem_id, attempts.sample
