-- grain: the experiment $experiment
select *
from experiments
where experiment = $experiment
