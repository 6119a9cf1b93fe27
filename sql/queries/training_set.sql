-- grain: the digest of the training set of round $round
select distinct training_set_digest
from training_rows
where experiment = $experiment and round = $round and not superseded
