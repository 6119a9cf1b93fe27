-- grain: flag $flag_id
select *
from flags
where flag_id = $flag_id
