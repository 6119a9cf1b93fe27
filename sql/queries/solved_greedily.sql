-- grain: problem of a split and prompt style: whether round $round solved it greedily
select prompt_style, problem_id, outcome = 'correct' as correct
from current_rationales
where experiment = $experiment
    and round = $round
    and split = $split
    and purpose = 'greedy'
    and outcome is not null
order by prompt_style, problem_id
