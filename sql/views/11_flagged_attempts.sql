-- grain: attempt that people flagged: what they said, in one text
create or replace view flagged_attempts as
select
    experiment,
    round,
    rationale_id,
    string_agg(said, '; ' order by created_at, flag_id) as flagged
from current_flags
group by experiment, round, rationale_id;
