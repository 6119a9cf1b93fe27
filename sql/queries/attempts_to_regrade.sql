-- grain: graded attempt of round $round, with its problem and the verdict that decides
select * exclude (answer, verdict_reason, verdict_answer), verdict_reason as reason, verdict_answer as answer
from current_attempts
where experiment = $experiment
    and round = $round
    and outcome is not null
order by problem_id, origin, prompt_style, purpose, sample
