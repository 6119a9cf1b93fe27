-- grain: round of $experiment in which attempts were written, newest first; $round null: all
select round, count(*) as attempts, sum(text_chars)::bigint as chars
from rationales
where experiment = $experiment
    and ($round is null or round = $round)
    and ($origin is null or origin = $origin)
    and ($split is null or split = $split)
    and not superseded
group by round
order by round desc
