-- grain: trained model, with what it was started from and the rows it was trained on
-- columns: see the view checkpoint_lineage
select *
from checkpoint_lineage
where experiment = $experiment
order by round, variant
