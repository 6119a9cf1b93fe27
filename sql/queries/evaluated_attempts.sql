-- grain: attempt that evaluate wrote in round $round, with its problem
select
    rationale_id,
    problem_id,
    origin,
    purpose,
    split,
    source,
    difficulty,
    prompt_style,
    sample,
    finish_reason,
    text,
    hint,
    question,
    gold,
    choices,
    solution,
    meta
from current_attempts
where experiment = $experiment
    and round = $round
    and stage = 'evaluate'
order by purpose, prompt_style, problem_id, sample
