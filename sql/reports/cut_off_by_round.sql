-- grain: round, purpose, origin and prompt style of attempts: how their texts ended
-- attempts = eos + stop + answer + cut_off + prompt_too_long; cut_off: the token limit came first
with final as (
    select
        round,
        purpose,
        origin,
        prompt_style,
        count(*) as attempts,
        count(*) filter (finish_reason = 'eos') as eos,
        count(*) filter (finish_reason = 'stop') as stop,
        count(*) filter (finish_reason = 'answer') as answer,
        count(*) filter (finish_reason = 'length') as cut_off,
        count(*) filter (finish_reason = 'prompt_too_long') as prompt_too_long,
        count(*) filter (finish_reason = 'length') / count(*) as cut_off_share
    from rationales
    where experiment = $experiment and not superseded
    group by round, purpose, origin, prompt_style
)

select * from final
order by purpose = 'training' desc, purpose, round, origin, prompt_style
