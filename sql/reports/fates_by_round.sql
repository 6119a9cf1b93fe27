-- grain: round and fate of the attempts made in it to train on: kept, or the reason why not
-- `pending`: the round has not selected yet
select round, fate, attempts
from fate_counts
where experiment = $experiment
order by round, fate = 'kept' desc, attempts desc, fate
