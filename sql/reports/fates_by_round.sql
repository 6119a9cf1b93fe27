-- grain: round and fate of the attempts made in it to train on: kept, or the reason why not
-- `pending`: the round has not selected yet
with fates as (
    select
        attempts.round,
        case
            when kept.rationale_id is not null then coalesce(current_rejections.reason, 'kept')
            else coalesce(current_rejections.reason, 'pending')
        end as fate
    from rationales as attempts
    left join current_training_rows as kept
        on kept.experiment = attempts.experiment
        and kept.round = attempts.round
        and kept.rationale_id = attempts.rationale_id
    left join current_rejections
        on current_rejections.experiment = attempts.experiment
        and current_rejections.round = attempts.round
        and current_rejections.rationale_id = attempts.rationale_id
    where attempts.experiment = $experiment and attempts.purpose = 'training' and not attempts.superseded
),

final as (
    select round, fate, count(*) as attempts
    from fates
    group by round, fate
)

select * from final
order by round, fate = 'kept' desc, attempts desc, fate
