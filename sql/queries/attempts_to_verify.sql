-- grain: attempt that stage $stage wrote in this round's shard, with its problem
select rationale_id, problem_id, source, origin, text, hint, question, gold, choices, solution, meta
from current_attempts
where experiment = $experiment
    and round = $round
    and stage = $stage
    and shard = $shard
order by problem_id, origin, sample
