-- grain: row that the round's model is, or will be, trained on; reused: kept in an earlier round
create or replace view current_training_rows as
select
    * exclude (superseded),
    from_round < round as reused
from training_rows
where not superseded;
