-- grain: round and fate of attempts to train on: kept for finished rounds, counted now for the others
-- fate: `kept` by its own round, else the reason why not; `pending`: the round has not selected yet
create or replace view fate_counts as
with fates as (
    select
        attempts.experiment,
        attempts.round,
        case
            when kept.rationale_id is not null then coalesce(current_rejections.reason, 'kept')
            else coalesce(current_rejections.reason, 'pending')
        end as fate
    from rationales as attempts
    semi join uncounted_rounds
        on uncounted_rounds.experiment = attempts.experiment and uncounted_rounds.round = attempts.round
    left join current_training_rows as kept
        on kept.experiment = attempts.experiment
        and kept.round = attempts.round
        and kept.rationale_id = attempts.rationale_id
    left join current_rejections
        on current_rejections.experiment = attempts.experiment
        and current_rejections.round = attempts.round
        and current_rejections.rationale_id = attempts.rationale_id
    where attempts.purpose = 'training' and not attempts.superseded
)

select experiment, round, fate, attempts
from counted_fates
union all
select experiment, round, fate, count(*) as attempts
from fates
group by experiment, round, fate;
