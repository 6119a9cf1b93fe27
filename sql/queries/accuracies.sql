-- grain: round and prompt style: greedy accuracy on a split
select round, prompt_style, value, low, high, problems, correct
from evaluations
where experiment = $experiment
    and split = $split
    and metric = 'accuracy'
    and difficulty is null
    and not superseded
order by round, prompt_style
