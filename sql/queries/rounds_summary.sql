-- grain: round of $experiment: the row that a run prints
select *
from rounds_summary
where experiment = $experiment
order by round
