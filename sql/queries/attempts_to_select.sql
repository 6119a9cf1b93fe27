-- grain: attempt of round $round at a train problem, with the verdict of the deciding grader, and whether a
-- rationalized text led the model to the answer again without its last line (null: not tested)
with regenerated as (
    select problem_id, sample, outcome = 'correct' as regenerates
    from current_rationales
    where experiment = $experiment and round = $round and stage = 'regenerate'
),

final as (
    select
        attempts.* exclude (answer, verdict_reason, verdict_answer),
        attempts.verdict_reason as reason,
        attempts.verdict_answer as answer,
        regenerated.regenerates
    from current_rationales as attempts
    left join regenerated
        on attempts.origin = 'rationalized'
        and regenerated.problem_id = attempts.problem_id
        and regenerated.sample = attempts.sample
    where attempts.experiment = $experiment
        and attempts.round = $round
        and attempts.purpose = 'training'
        and attempts.grader_digest = $grader_digest
)

select * from final
order by problem_id, origin, sample
