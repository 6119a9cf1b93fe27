-- grain: rationale that round $round itself kept as a training row
select rationale_id
from training_rows
where experiment = $experiment
    and round = $round
    and from_round = $round
    and not superseded
    and origin <> 'replay'
order by rationale_id
