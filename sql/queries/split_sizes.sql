-- grain: split of $experiment: its problems
select
    split,
    count(*) as problems
from current_problems
where experiment = $experiment
group by split
order by split
