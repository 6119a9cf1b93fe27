-- grain: problem that round 1 of $experiment drew: its attempts, their tokens, and the training rows it gave
-- $origin: of the attempts that generate made. correct: could be kept; no_answer: complete, and the grader finds none;
-- complete_tokens: mean of the attempts that are not cut off (null: there is none)
with attempts as (
    select
        attempts.*,
        attempts.finish_reason = 'length' as cut,
        attempts.stage = 'generate' and attempts.origin = $origin as generated,
        (attempts.stage = 'rationalize' or attempts.origin = $origin) and kept.rationale_id is not null as kept,
        kept.tokens as row_tokens
    from current_rationales as attempts
    left join current_training_rows as kept
        on kept.experiment = attempts.experiment
        and kept.round = attempts.round
        and kept.rationale_id = attempts.rationale_id
    where attempts.experiment = $experiment and attempts.round = 1 and attempts.purpose <> 'greedy'
        and attempts.stage in ('generate', 'rationalize', 'regenerate')
),

final as (
    select
        problem_id,
        any_value(difficulty) as difficulty,
        count(*) filter (generated) as attempts,
        count(*) filter (generated and outcome = 'correct' and ($keep_cut_off or not cut)) as correct,
        count(*) filter (generated and cut) as cut_off,
        count(*) filter (generated and outcome = 'ungraded') as ungraded,
        count(*) filter (generated and answer is null and not cut) as no_answer,
        coalesce(sum(completion_tokens) filter (generated), 0)::bigint as generated_tokens,
        avg(completion_tokens) filter (generated and not cut) as complete_tokens,
        count(*) filter (stage = 'rationalize') as hinted,
        count(*) filter (stage = 'rationalize' and outcome = 'correct' and ($keep_cut_off or not cut))
            as hinted_correct,
        coalesce(sum(completion_tokens) filter (stage = 'rationalize'), 0)::bigint as hinted_tokens,
        count(*) filter (stage = 'regenerate') as regenerated,
        coalesce(sum(completion_tokens) filter (stage = 'regenerate'), 0)::bigint as regenerated_tokens,
        count(*) filter (kept) as kept,
        coalesce(sum(row_tokens) filter (kept), 0)::bigint as kept_tokens
    from attempts
    group by problem_id
    having count(*) filter (generated) > 0
)

select * from final
order by problem_id
