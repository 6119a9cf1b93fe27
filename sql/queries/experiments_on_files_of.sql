-- grain: other experiment whose current rows came from shard files in the folder of $experiment: a fork of it
select distinct experiment
from commits
where experiment <> $experiment and starts_with(path, 'experiments/' || $experiment || '/')
order by experiment
