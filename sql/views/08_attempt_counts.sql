-- grain: round and origin of attempts to train on: kept for finished rounds, counted now for the others
-- attempts = correct + wrong + ungraded + unverified; tokens: sampled
create or replace view attempt_counts as
with attempts as (
    select experiment, round, rationale_id, origin, problem_id, finish_reason, completion_tokens
    from rationales
    semi join uncounted_rounds using (experiment, round)
    where purpose = 'training' and not superseded
),

-- By themselves: as a join of all attempts with all verdicts this read both where no round is to be counted.
graded as (
    select experiment, round, rationale_id, outcome
    from current_verdicts
    semi join uncounted_rounds using (experiment, round)
)

select
    experiment,
    round,
    origin,
    attempts,
    problems,
    correct,
    wrong,
    ungraded,
    unverified,
    problems_solved,
    cut_off,
    tokens
from counted_attempts
union all
select
    attempts.experiment,
    attempts.round,
    attempts.origin,
    count(*) as attempts,
    count(distinct attempts.problem_id) as problems,
    count(*) filter (graded.outcome = 'correct') as correct,
    count(*) filter (graded.outcome = 'wrong') as wrong,
    count(*) filter (graded.outcome = 'ungraded') as ungraded,
    count(*) filter (graded.outcome is null) as unverified,
    count(distinct attempts.problem_id) filter (graded.outcome = 'correct') as problems_solved,
    count(*) filter (attempts.finish_reason = 'length') as cut_off,
    sum(attempts.completion_tokens)::bigint as tokens
from attempts
left join graded
    on graded.experiment = attempts.experiment
    and graded.round = attempts.round
    and graded.rationale_id = attempts.rationale_id
group by attempts.experiment, attempts.round, attempts.origin;
