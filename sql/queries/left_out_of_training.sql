-- grain: reason: attempts, of round $round or kept in an earlier one, that are not among the round's training rows
-- `replay`: training rows of general data, which are in the file that they come from
with final as (
    select reason, count(*) as attempts
    from current_rejections
    where experiment = $experiment and round = $round and stage = 'select'
    group by reason

    union all
    select 'replay', count(*)
    from current_training_rows
    where experiment = $experiment and round = $round and origin = 'replay'
    having count(*) > 0
)

select * from final
order by attempts desc, reason
