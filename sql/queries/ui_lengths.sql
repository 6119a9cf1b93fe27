-- grain: round and origin of attempts to train on: their completion tokens
select
    round,
    origin,
    count(*) as attempts,
    quantile_cont(completion_tokens, 0.1) as p10,
    median(completion_tokens) as median,
    quantile_cont(completion_tokens, 0.9) as p90
from rationales
where experiment = $experiment and purpose = 'training' and not superseded
group by round, origin
order by round, origin
