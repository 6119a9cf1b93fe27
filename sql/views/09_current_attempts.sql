-- grain: attempt that no later run replaced, with its problem and the verdict that decides (null: not graded yet)
create or replace view current_attempts as
select
    current_rationales.*,
    current_problems.source,
    current_problems.question,
    current_problems.answer as gold,
    current_problems.choices,
    current_problems.solution,
    current_problems.meta
from current_rationales
join current_problems
    on current_problems.experiment = current_rationales.experiment
    and current_problems.problem_id = current_rationales.problem_id;
