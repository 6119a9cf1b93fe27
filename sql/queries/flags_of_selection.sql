-- grain: text of a problem that people flagged in round $round or before: no attempt that reads as it is kept since
select problem_id, norm_hash, string_agg(said, '; ' order by created_at, flag_id) as flagged
from current_flags
where experiment = $experiment and round <= $round
group by problem_id, norm_hash
order by problem_id, norm_hash
