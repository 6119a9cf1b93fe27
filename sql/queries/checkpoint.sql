-- grain: the current checkpoint of round $round
select *
from checkpoints
where experiment = $experiment and round = $round and not superseded
