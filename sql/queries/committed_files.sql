-- grain: shard file that the store holds the rows of
select experiment, round, stage, shard, table_name, path, sha256, rows
from commits
where experiment = $experiment and path is not null
order by round, stage, shard, table_name
