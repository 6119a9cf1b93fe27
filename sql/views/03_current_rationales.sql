-- grain: attempt that no later run replaced, with the verdict that decides (null: not graded yet)
create or replace view current_rationales as
select
    rationales.* exclude (superseded),
    current_verdicts.outcome,
    current_verdicts.score,
    current_verdicts.reason as verdict_reason,
    current_verdicts.answer as verdict_answer,
    current_verdicts.grader,
    current_verdicts.grader_digest,
    current_verdicts.subscores,
    current_verdicts.elapsed_ms
from rationales
left join current_verdicts
    on current_verdicts.experiment = rationales.experiment
    and current_verdicts.round = rationales.round
    and current_verdicts.rationale_id = rationales.rationale_id
where not rationales.superseded;
