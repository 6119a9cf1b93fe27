-- grain: pair of a kept and a wrong text of a train problem, up to $pairs a problem; and, with its reason in
-- left_out, problem that has `lacking` pairs fewer than that
-- $round: the kept texts are its training rows, the wrong ones its attempts; null: those of all rounds. A text that
-- reads as another one stands once; what people flagged, what is cut off and what is empty stands in no pair.
with problems as (
    select problem_id, question, answer, choices, difficulty
    from current_problems
    where experiment = $experiment and split = 'train' and ($round is null or added_round <= $round)
),

flagged as (
    select distinct problem_id, norm_hash
    from current_flags
    where experiment = $experiment and ($round is null or round <= $round)
),

kept_texts as (
    select rows.problem_id, rows.norm_hash, rows.rationale_id, rows.from_round, rows.round
    from current_training_rows as rows
    join current_verdicts
        on current_verdicts.experiment = rows.experiment
        and current_verdicts.round = rows.from_round
        and current_verdicts.rationale_id = rows.rationale_id
        and current_verdicts.outcome = 'correct' -- `select.filter: none` keeps wrong ones too
    anti join flagged on flagged.problem_id = rows.problem_id and flagged.norm_hash = rows.norm_hash
    where rows.experiment = $experiment and (rows.round = $round or ($round is null and not rows.reused))
    qualify row_number() over (
        partition by rows.problem_id, rows.norm_hash order by rows.from_round, rows.rationale_id
    ) = 1
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

-- Of each side the first $pairs by lot: more are never needed. place counts from 0.
kept_drawn as (
    select
        *,
        row_number() over lots - 1 as place,
        least(count(*) over (partition by problem_id), $pairs) as number
    from kept_texts
    window lots as (partition by problem_id order by md5($seed || ':' || rationale_id), rationale_id)
    qualify place < $pairs
),

wrong_drawn as (
    select
        *,
        row_number() over lots - 1 as place,
        least(count(*) over (partition by problem_id), $pairs) as number
    from wrong_texts
    window lots as (partition by problem_id order by md5($seed || ':' || rationale_id), rationale_id)
    qualify place < $pairs
),

-- Every text of the longer side has its turn before one has a second, each time with the next of the shorter.
ranked as (
    select
        kept_drawn.problem_id,
        kept_drawn.rationale_id as chosen_id,
        kept_drawn.from_round as chosen_round,
        kept_drawn.round as trained_round,
        wrong_drawn.rationale_id as rejected_id,
        wrong_drawn.round as rejected_round,
        if(kept_drawn.number >= wrong_drawn.number, kept_drawn.place, wrong_drawn.place) as longer,
        if(kept_drawn.number >= wrong_drawn.number, wrong_drawn.place, kept_drawn.place) as shorter,
        greatest(kept_drawn.number, wrong_drawn.number) as longer_side,
        least(kept_drawn.number, wrong_drawn.number) as shorter_side,
        longer_side * ((shorter - longer % shorter_side + shorter_side) % shorter_side) + longer as turn
    from kept_drawn
    join wrong_drawn on wrong_drawn.problem_id = kept_drawn.problem_id
    qualify row_number() over (partition by kept_drawn.problem_id order by turn) <= $pairs
),

pairs as (
    select
        ranked.*,
        rows.prompt,
        rows.completion as chosen,
        rows.origin as chosen_origin,
        wrong.text as rejected,
        wrong.verdict_answer as rejected_answer,
        wrong.origin as rejected_origin
    from ranked
    join current_training_rows as rows
        on rows.experiment = $experiment
        and rows.round = ranked.trained_round
        and rows.rationale_id = ranked.chosen_id
    join current_rationales as wrong
        on wrong.experiment = $experiment
        and wrong.round = ranked.rejected_round
        and wrong.rationale_id = ranked.rejected_id
),

lacks as (
    select
        problems.problem_id,
        $pairs - (select count(*) from ranked where ranked.problem_id = problems.problem_id) as lacking,
        case
            when problems.problem_id not in (select problem_id from attempts)
                and problems.problem_id not in (select problem_id from kept_texts) then 'not_attempted'
            when problems.problem_id in (select problem_id from wrong_drawn)
                and problems.problem_id in (select problem_id from kept_drawn) then 'too_few_texts'
            when problems.problem_id in (select problem_id from wrong_drawn) then 'none_kept'
            when problems.problem_id in (select problem_id from kept_drawn) then 'none_wrong'
            else 'none_kept_and_none_wrong'
        end as left_out
    from problems
),

final as (
    select
        problems.*,
        pairs.prompt,
        pairs.chosen,
        pairs.rejected,
        pairs.chosen_origin,
        pairs.chosen_round,
        pairs.chosen_id,
        pairs.rejected_origin,
        pairs.rejected_round,
        pairs.rejected_answer,
        pairs.rejected_id,
        pairs.turn,
        null as left_out,
        0 as lacking
    from pairs
    join problems on problems.problem_id = pairs.problem_id
    union all by name
    select problem_id, left_out, lacking
    from lacks
    where lacking > 0
)

select * from final
order by problem_id, turn nulls last
