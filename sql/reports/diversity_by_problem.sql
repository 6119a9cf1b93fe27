-- grain: train problem that was attempted: its attempts over all rounds, and how many read differently
-- most_repeated: attempts that share the most frequent text; rounds: in which it was attempted; rows: distinct training
-- rows it ever gave
with by_text as (
    select
        problem_id,
        norm_hash,
        count(*) as attempts,
        count(*) filter (outcome = 'correct') as correct
    from current_rationales
    where experiment = $experiment and purpose = 'training'
    group by problem_id, norm_hash
),

by_problem as (
    select
        problem_id,
        sum(attempts)::bigint as attempts,
        count(*) as distinct_texts,
        sum(correct)::bigint as correct,
        count(*) filter (correct > 0) as distinct_correct,
        max(attempts) as most_repeated
    from by_text
    group by problem_id
),

attempted as (
    select problem_id, count(distinct round) as rounds
    from rationales
    where experiment = $experiment and purpose = 'training' and not superseded
    group by problem_id
),

kept as (
    select problem_id, count(distinct norm_hash) as rows
    from current_training_rows
    where experiment = $experiment
    group by problem_id
),

final as (
    select
        by_problem.problem_id,
        current_problems.difficulty,
        attempted.rounds,
        by_problem.* exclude (problem_id),
        coalesce(kept.rows, 0) as rows
    from by_problem
    join attempted on attempted.problem_id = by_problem.problem_id
    left join kept on kept.problem_id = by_problem.problem_id
    left join current_problems
        on current_problems.experiment = $experiment and current_problems.problem_id = by_problem.problem_id
)

select * from final
order by attempts - distinct_texts desc, problem_id
