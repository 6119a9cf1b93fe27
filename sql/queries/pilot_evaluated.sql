-- grain: split, prompt style and purpose of what round 0 of $experiment measured: texts, and the length of one
with final as (
    select
        split,
        prompt_style,
        purpose,
        count(distinct problem_id) as problems,
        count(*) as attempts,
        avg(completion_tokens) as mean_tokens,
        coalesce(stddev_samp(completion_tokens), 0) as spread_tokens,
        count(*) filter (outcome = 'correct') as correct,
        count(*) filter (finish_reason = 'length') as cut_off
    from current_rationales
    where experiment = $experiment and round = 0 and stage = 'evaluate'
    group by split, prompt_style, purpose
)

select * from final
order by split, prompt_style, purpose
