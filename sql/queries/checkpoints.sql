-- grain: current checkpoint of $experiment
select *
from checkpoints
where experiment = $experiment and not superseded
order by round
