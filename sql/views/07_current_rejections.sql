-- grain: attempt, or problem (rationale_id null), left out of a round's training set
create or replace view current_rejections as
select * exclude (superseded)
from rejections
where not superseded;
