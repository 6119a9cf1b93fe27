-- grain: round and origin of the attempts to train on: how many read differently
-- Two attempts at one problem read the same where they differ only in case and spaces (norm_hash).
-- attempts = distinct_texts + repeats; correct = distinct_correct + correct_repeats; seen_before: distinct texts that an
-- earlier round wrote for the problem; texts_per_problem: mean distinct correct texts of a solved problem;
-- collapsed: of the problems with several correct attempts (several), those whose correct attempts all read the same
with by_text as (
    select
        round,
        origin,
        problem_id,
        norm_hash,
        count(*) as attempts,
        count(*) filter (outcome = 'correct') as correct
    from current_rationales
    where experiment = $experiment and purpose = 'training'
    group by round, origin, problem_id, norm_hash
),

dated as (
    select *, round > min(round) over (partition by problem_id, norm_hash) as seen_before
    from by_text
),

by_problem as (
    select
        round,
        origin,
        problem_id,
        sum(attempts) as attempts,
        count(*) as texts,
        count(*) filter (seen_before) as seen_before,
        sum(correct) as correct,
        count(*) filter (correct > 0) as correct_texts
    from dated
    group by round, origin, problem_id
),

final as (
    select
        round,
        origin,
        count(*) as problems,
        sum(attempts)::bigint as attempts,
        sum(texts)::bigint as distinct_texts,
        sum(attempts - texts)::bigint as repeats,
        sum(seen_before)::bigint as seen_before,
        sum(correct)::bigint as correct,
        sum(correct_texts)::bigint as distinct_correct,
        sum(correct - correct_texts)::bigint as correct_repeats,
        avg(correct_texts) filter (correct_texts > 0) as texts_per_problem,
        count(*) filter (correct > 1) as several,
        count(*) filter (correct > 1 and correct_texts = 1) as collapsed
    from by_problem
    group by round, origin
)

select * from final
order by round, origin
