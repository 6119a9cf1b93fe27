-- grain: round that something was committed for and whose counts are not kept
create or replace view uncounted_rounds as
select distinct experiment, round
from commits
anti join counted_rounds using (experiment, round);
