-- grain: experiment, newest first
select *
from experiments
order by created_at desc, experiment
