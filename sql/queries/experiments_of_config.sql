-- grain: experiment whose config decides the same outcome ($config_digest), newest first; last_round is its last done
with done as (
    select experiment, max(round) as last_round
    from rounds
    where status in ('done', 'forked')
    group by experiment
),

final as (
    select experiments.experiment, coalesce(done.last_round, 0) as last_round, experiments.created_at
    from experiments
    left join done using (experiment)
    where experiments.config_digest = $config_digest
)

select *
from final
order by created_at desc, experiment desc
