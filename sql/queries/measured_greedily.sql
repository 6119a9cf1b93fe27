-- grain: problem of $split and prompt style that round $round was measured on: whether it was solved greedily
-- content: hash of question, choices and gold answer, so that two experiments can tell whether they mean one problem
select
    current_rationales.prompt_style,
    current_rationales.problem_id,
    md5(concat_ws(chr(31), question, coalesce(choices::varchar, ''), current_problems.answer)) as content,
    coalesce(outcome = 'correct', false) as correct
from current_rationales
join current_problems
    on current_problems.experiment = current_rationales.experiment
    and current_problems.problem_id = current_rationales.problem_id
where current_rationales.experiment = $experiment
    and current_rationales.round = $round
    and current_rationales.split = $split
    and current_rationales.purpose = 'greedy'
order by prompt_style, current_rationales.problem_id
