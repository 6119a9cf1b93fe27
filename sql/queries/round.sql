-- grain: round $round of $experiment
select *
from rounds
where experiment = $experiment and round = $round
