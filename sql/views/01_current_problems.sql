-- grain: problem of an experiment, as its last preparation left it
create or replace view current_problems as
select * exclude (superseded)
from problems
where not superseded;
