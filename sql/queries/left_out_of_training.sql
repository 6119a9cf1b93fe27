-- grain: reason: attempts, of round $round or kept in an earlier one, that are not among the round's training rows
-- `held_out`: kept to measure a training; `replay`: rows of general data, which are in the file that they come from
with final as (
    select reason, count(*) as attempts
    from current_rejections
    where experiment = $experiment and round = $round and stage = 'select'
    group by reason

    union all
    select 'held_out', count(*)
    from current_training_rows as rows
    semi join current_rejections as held_out
        on held_out.experiment = rows.experiment
        and held_out.round = rows.round
        and held_out.rationale_id = rows.rationale_id
        and held_out.reason = 'held_out'
    where rows.experiment = $experiment and rows.round = $round and rows.origin <> 'replay'
    having count(*) > 0

    union all
    select 'replay', count(*)
    from current_training_rows
    where experiment = $experiment and round = $round and origin = 'replay'
    having count(*) > 0
)

select * from final
order by attempts desc, reason
