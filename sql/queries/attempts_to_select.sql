-- grain: attempt of round $round at a train problem, with the verdict of a deciding grader, and whether a
-- rationalized text led the model to the answer again without its last line (null: not tested); flagged: what
-- people said against it
with regenerated as (
    select problem_id, sample, outcome = 'correct' as regenerates
    from current_rationales
    where experiment = $experiment and round = $round and stage = 'regenerate'
),

flagged as (
    select problem_id, norm_hash, string_agg(said, '; ' order by created_at, flag_id) as flagged
    from current_flags
    where experiment = $experiment and round <= $round
    group by problem_id, norm_hash
),

final as (
    select
        attempts.* exclude (answer, verdict_reason, verdict_answer),
        attempts.verdict_reason as reason,
        attempts.verdict_answer as answer,
        regenerated.regenerates,
        flagged.flagged
    from current_rationales as attempts
    left join regenerated
        on attempts.origin = 'rationalized'
        and regenerated.problem_id = attempts.problem_id
        and regenerated.sample = attempts.sample
    left join flagged
        on flagged.problem_id = attempts.problem_id
        and flagged.norm_hash = attempts.norm_hash
    where attempts.experiment = $experiment
        and attempts.round = $round
        and attempts.purpose = 'training'
        and list_contains($grader_digests, attempts.grader_digest)
)

select * from final
order by problem_id, origin, sample
