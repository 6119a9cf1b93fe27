-- grain: problem id of $experiment that was read before round $round, as a problem or as one left out
select problem_id
from current_problems
where experiment = $experiment and added_round < $round
union
select problem_id
from current_rejections
where experiment = $experiment and stage = 'prepare' and round < $round
order by problem_id
