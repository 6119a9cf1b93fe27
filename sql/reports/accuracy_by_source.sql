-- grain: round, split, source of the problems and prompt style: greedy accuracy on the experiment's own tasks
select
    round,
    split,
    source,
    prompt_style,
    count(*) as problems,
    count(*) filter (outcome = 'correct') as correct,
    count(*) filter (outcome = 'correct') / count(*) as value
from current_attempts
where experiment = $experiment and purpose = 'greedy'
group by round, split, source, prompt_style
order by split, source, round, prompt_style
