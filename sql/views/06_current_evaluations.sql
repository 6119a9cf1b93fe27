-- grain: round, split, metric, prompt style and difficulty (null: all difficulties)
create or replace view current_evaluations as
select * exclude (superseded)
from evaluations
where not superseded;
