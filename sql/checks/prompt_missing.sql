-- grain: attempt whose prompt text is not in `prompts`
with final as (
    select
        attempts.experiment,
        attempts.round,
        attempts.stage,
        attempts.rationale_id,
        attempts.prompt_hash
    from rationales as attempts
    where attempts.experiment = $experiment
        and ($round is null or attempts.round = $round)
        and not attempts.superseded
        and not exists (select 1 from prompts where prompts.prompt_hash = attempts.prompt_hash)
)

select * from final
order by round, stage, rationale_id
