-- grain: round of $experiment
select *
from rounds
where experiment = $experiment
order by round
