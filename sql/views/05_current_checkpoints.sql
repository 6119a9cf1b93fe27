-- grain: trained model that no later run replaced
create or replace view current_checkpoints as
select * exclude (superseded)
from checkpoints
where not superseded;
