-- grain: attempt that no later run replaced, with the verdict that decides, what became of it and what people said
-- fate: `kept` by its own round, else the reason why not (`held_out`: kept to measure a training); `pending`: not selected yet; null: not made to train on
create or replace view attempt_fates as
select
    current_rationales.*,
    case
        when kept.rationale_id is not null then coalesce(current_rejections.reason, 'kept')
        when current_rationales.purpose = 'training' then coalesce(current_rejections.reason, 'pending')
    end as fate,
    current_rejections.detail as fate_detail,
    flagged_attempts.flagged
from current_rationales
left join current_training_rows as kept
    on kept.experiment = current_rationales.experiment
    and kept.round = current_rationales.round
    and kept.rationale_id = current_rationales.rationale_id
left join current_rejections
    on current_rejections.experiment = current_rationales.experiment
    and current_rejections.round = current_rationales.round
    and current_rejections.rationale_id = current_rationales.rationale_id
left join flagged_attempts
    on flagged_attempts.experiment = current_rationales.experiment
    and flagged_attempts.round = current_rationales.round
    and flagged_attempts.rationale_id = current_rationales.rationale_id;
