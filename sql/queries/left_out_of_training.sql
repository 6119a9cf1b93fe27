-- grain: reason: attempts, of round $round or kept in an earlier one, that are not among the round's training rows
select reason, count(*) as attempts
from current_rejections
where experiment = $experiment and round = $round and stage = 'select'
group by reason
order by attempts desc, reason
