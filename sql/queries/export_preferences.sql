-- grain: text of a train problem that may stand in a pair, the first $pairs of each side in an order drawn by $seed;
-- a problem without any has one row without side
-- side: `kept` to train on and correct, or `wrong`. $round: its training rows and its attempts; null: all rounds'. Of
-- texts that read alike one stands here; none that people flagged, that was cut off or is empty. attempted: in $round
with problems as (
    select problem_id, question, answer, choices, difficulty, source
    from current_problems
    where experiment = $experiment and split = 'train' and ($round is null or added_round <= $round)
),

flagged as (
    select distinct problem_id, norm_hash
    from current_flags
    where experiment = $experiment and ($round is null or round <= $round)
),

attempts as (
    select
        problem_id,
        norm_hash,
        rationale_id,
        round,
        outcome,
        finish_reason,
        regexp_matches(text, '\S') as has_text
    from current_rationales
    where experiment = $experiment
        and split = 'train'
        and purpose = 'training'
        and ($round is null or round = $round)
),

kept_rows as (
    select problem_id, norm_hash, rationale_id, from_round, round
    from current_training_rows
    where experiment = $experiment and (round = $round or ($round is null and not reused))
),

kept_texts as (
    select kept_rows.*
    from kept_rows
    join current_rationales
        on current_rationales.experiment = $experiment
        and current_rationales.round = kept_rows.from_round
        and current_rationales.rationale_id = kept_rows.rationale_id
        and current_rationales.outcome = 'correct' -- `select.filter: none` keeps wrong ones too
        and current_rationales.finish_reason not in ('length', 'prompt_too_long') -- `select.cut_off: true` keeps them
    anti join flagged on flagged.problem_id = kept_rows.problem_id and flagged.norm_hash = kept_rows.norm_hash
    qualify row_number() over (
        partition by kept_rows.problem_id, kept_rows.norm_hash order by kept_rows.from_round, kept_rows.rationale_id
    ) = 1
),

wrong_texts as (
    select attempts.problem_id, attempts.norm_hash, attempts.rationale_id, attempts.round
    from attempts
    anti join flagged on flagged.problem_id = attempts.problem_id and flagged.norm_hash = attempts.norm_hash
    anti join kept_texts
        on kept_texts.problem_id = attempts.problem_id and kept_texts.norm_hash = attempts.norm_hash
    where attempts.outcome = 'wrong'
        and attempts.finish_reason not in ('length', 'prompt_too_long')
        and attempts.has_text
    qualify row_number() over (
        partition by attempts.problem_id, attempts.norm_hash order by attempts.round, attempts.rationale_id
    ) = 1
),

candidates as (
    select problem_id, 'kept' as side, rationale_id, from_round, round
    from kept_texts
    union all
    select problem_id, 'wrong' as side, rationale_id, round as from_round, round
    from wrong_texts
),

-- Ids alone are drawn and sorted: the texts of a million attempts would not fit into memory beside them.
drawn as (
    select
        *,
        row_number() over (
            partition by problem_id, side order by md5($seed || ':' || rationale_id), rationale_id
        ) as place
    from candidates
    qualify place <= $pairs
),

texts as (
    select
        drawn.*,
        rows.prompt,
        rows.completion as text,
        rows.origin,
        null as verdict_answer
    from drawn
    join current_training_rows as rows
        on rows.experiment = $experiment
        and rows.round = drawn.round
        and rows.rationale_id = drawn.rationale_id
    where drawn.side = 'kept'
    union all by name
    select
        drawn.*,
        attempts.text,
        attempts.origin,
        attempts.verdict_answer
    from drawn
    join current_rationales as attempts
        on attempts.experiment = $experiment
        and attempts.round = drawn.round
        and attempts.rationale_id = drawn.rationale_id
    where drawn.side = 'wrong'
),

final as (
    select
        problems.*,
        problems.problem_id in (select problem_id from attempts union all select problem_id from kept_rows)
            as attempted,
        texts.* exclude (problem_id)
    from problems
    left join texts on texts.problem_id = problems.problem_id
)

select * from final
order by problem_id, side, place
