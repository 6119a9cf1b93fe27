-- grain: round, stage, grader, outcome and reason of verdicts: how often, and how long they took
-- share: of the grader's verdicts in that round and stage; a timeout is the reason `timeout`, which is ungraded;
-- *_ms: milliseconds a verdict took; example: a rationale_id
with final as (
    select
        round,
        stage,
        grader,
        any_value(decides) as decides,
        outcome,
        reason,
        count(*) as verdicts,
        count(*) / sum(count(*)) over (partition by round, stage, grader) as share,
        avg(elapsed_ms) as mean_ms,
        quantile_cont(elapsed_ms, 0.95) as p95_ms,
        max(elapsed_ms) as longest_ms,
        min(rationale_id) as example
    from verdicts
    where experiment = $experiment and not superseded
    group by round, stage, grader, outcome, reason
)

select * from final
order by round, stage, decides desc, grader, outcome, verdicts desc, reason
