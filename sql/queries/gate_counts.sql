-- grain: round $round: attempts to train on; how many are cut off, ungraded, without an answer, or judged otherwise by a second grader
select
    count(*) as attempts,
    count(*) filter (attempts.finish_reason = 'length') as cut_off,
    count(*) filter (attempts.outcome = 'ungraded') as ungraded,
    count(*) filter (attempts.verdict_reason = 'no_answer') as no_answer,
    count(*) filter (second.outcome <> attempts.outcome) as disagreement
from current_rationales as attempts
left join verdicts as second
    on second.experiment = attempts.experiment
    and second.round = attempts.round
    and second.rationale_id = attempts.rationale_id
    and second.stage in ('verify_generated', 'verify_rationalized')
    and not second.decides
    and not second.superseded
where attempts.experiment = $experiment
    and attempts.round = $round
    and attempts.purpose = 'training'
