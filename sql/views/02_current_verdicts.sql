-- grain: attempt: the verdict of its round's own grader (other graders' opinions are in `verdicts`)
create or replace view current_verdicts as
select * exclude (superseded, decides)
from verdicts
where decides and not superseded;
