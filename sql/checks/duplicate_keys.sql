-- grain: table and key that more than one current row carries
with keys as (
    select 'rationales' as table_name, round, concat_ws(' ', rationale_id) as row_key
    from rationales
    where experiment = $experiment and not superseded

    union all
    select 'rationales', round, concat_ws(' ', round, origin, purpose, prompt_style, problem_id, 'sample', sample)
    from rationales
    where experiment = $experiment and not superseded

    union all
    select 'verdicts', round, concat_ws(' ', rationale_id, grader_digest)
    from verdicts
    where experiment = $experiment and not superseded

    union all
    select 'verdicts', round, concat_ws(' ', rationale_id, 'decides')
    from verdicts
    where experiment = $experiment and decides and not superseded

    union all
    select 'training_rows', round, concat_ws(' ', round, rationale_id)
    from training_rows
    where experiment = $experiment and not superseded

    union all
    select 'problems', round, problem_id
    from problems
    where experiment = $experiment and not superseded

    union all
    select 'sampling_stops', round, concat_ws(' ', round, problem_id)
    from sampling_stops
    where experiment = $experiment and not superseded

    union all
    select 'checkpoints', round, concat_ws(' ', round, variant)
    from checkpoints
    where experiment = $experiment and not superseded

    union all
    select
        'evaluations',
        round,
        concat_ws(' ', round, split, metric, prompt_style, coalesce(difficulty, 'all'), grader_digest)
    from evaluations
    where experiment = $experiment and not superseded

    union all
    select 'rounds', round, concat_ws(' ', round)
    from rounds
    where experiment = $experiment

    union all
    select 'commits', round, concat_ws(' ', round, stage, shard, table_name)
    from commits
    where experiment = $experiment
),

final as (
    select table_name, round, row_key, count(*) as rows
    from keys
    where $round is null or round = $round
    group by table_name, round, row_key
    having count(*) > 1
)

select * from final
order by table_name, round, row_key
