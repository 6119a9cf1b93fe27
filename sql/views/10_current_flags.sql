-- grain: flag of a person on an attempt that nobody took back; said: who says what, to be shown
create or replace view current_flags as
select
    * exclude (withdrawn_by, withdrawn_at),
    case kind when 'wrong_verdict' then 'verdict called wrong by ' else 'excluded by ' end || author
        || case when note = '' then '' else ': ' || note end as said
from flags
where withdrawn_at is null;
