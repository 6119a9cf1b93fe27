-- grain: round, other grader, outcome and its outcome: how often the two said so of one attempt
-- outcome: of the grader that decides; disagree: the two differ; share: of the attempts that both graded in that round;
-- empty where no second grader graded, in a run or by `star regrade`
with pairs as (
    select
        deciding.round,
        other.grader,
        other.grader_digest,
        deciding.outcome,
        other.outcome as other_outcome,
        deciding.rationale_id
    from current_verdicts as deciding
    join verdicts as other
        on other.experiment = deciding.experiment
        and other.round = deciding.round
        and other.rationale_id = deciding.rationale_id
        and not other.decides
        and not other.superseded
    where deciding.experiment = $experiment
),

final as (
    select
        round,
        grader,
        grader_digest,
        outcome,
        other_outcome,
        outcome <> other_outcome as disagree,
        count(*) as attempts,
        count(*) / sum(count(*)) over (partition by round, grader_digest) as share,
        min(rationale_id) as example
    from pairs
    group by round, grader, grader_digest, outcome, other_outcome
)

select * from final
order by round, grader, disagree desc, attempts desc, outcome, other_outcome
