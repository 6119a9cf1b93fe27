-- grain: round: what it cost, and what a kept rationale and a point of accuracy cost up to it
-- sampled_tokens: completions to train on, or to test them; evaluated_tokens: completions that measure;
-- sent_tokens: prompts of both; trained_tokens: seen in training; kept: rationales of this round in its training set;
-- seconds: of all finished executions; gpu_hours: of those on a GPU, times the GPUs that a model is split over;
-- money: at $gpu_hour a GPU-hour, and at $million_*_tokens for what a server behind a URL was sent and wrote (all
-- null: no price). accuracy: greedy, of eval where measured, else dev; points: it less the better prompt style of the
-- base, in percent. *_so_far: since round 0, from which *_per_point follow
with sampled as (
    select
        round,
        coalesce(sum(completion_tokens) filter (origin <> 'evaluated'), 0)::bigint as sampled_tokens,
        coalesce(sum(completion_tokens) filter (origin = 'evaluated'), 0)::bigint as evaluated_tokens,
        sum(prompt_tokens)::bigint as sent_tokens,
        coalesce(sum(prompt_tokens) filter (starts_with(model_hash, 'endpoint:')), 0) as bought_prompt_tokens,
        coalesce(sum(completion_tokens) filter (starts_with(model_hash, 'endpoint:')), 0) as bought_completion_tokens
    from rationales
    where experiment = $experiment and not superseded
    group by round
),

kept as (
    select round, count(*) as kept
    from current_training_rows
    where experiment = $experiment and not reused and origin <> 'replay'
    group by round
),

trained as (
    select round, sum(tokens)::bigint as trained_tokens, sum(steps)::bigint as steps
    from current_checkpoints
    where experiment = $experiment
    group by round
),

spent as (
    select
        stage_runs.round,
        sum(stage_runs.seconds) as seconds,
        coalesce(sum(
            stage_runs.seconds / 3600 * case
                when stage_runs.stage = 'train'
                    then coalesce(cast(rounds.config ->> '$.train.processes' as integer), 1)
                else coalesce(cast(rounds.config ->> '$.engine.tensor_parallel' as integer), 1)
            end
        ) filter (
            stage_runs.stage in (
                'choose_temperature', 'generate', 'rationalize', 'regenerate', 'train', 'evaluate'
            )
            and lower(stage_runs.device) not in ('cpu', 'auto', 'none')
        ), 0) as gpu_hours
    from stage_runs
    left join rounds on rounds.experiment = stage_runs.experiment and rounds.round = stage_runs.round
    where stage_runs.experiment = $experiment and stage_runs.status = 'done'
    group by stage_runs.round
),

prices as (
    select
        cast($gpu_hour as double) as gpu_hour,
        cast($million_prompt_tokens as double) as million_prompt_tokens,
        cast($million_completion_tokens as double) as million_completion_tokens
),

accuracies as (
    select
        round,
        coalesce(max(value) filter (split = 'eval'), max(value) filter (split = 'dev')) as accuracy
    from current_evaluations
    where experiment = $experiment and metric = 'accuracy' and difficulty is null
    group by round
),

by_round as (
    select
        rounds.round,
        coalesce(sampled.sampled_tokens, 0) as sampled_tokens,
        coalesce(sampled.evaluated_tokens, 0) as evaluated_tokens,
        coalesce(sampled.sent_tokens, 0) as sent_tokens,
        coalesce(trained.trained_tokens, 0) as trained_tokens,
        coalesce(trained.steps, 0) as steps,
        coalesce(kept.kept, 0) as kept,
        coalesce(spent.seconds, 0) as seconds,
        coalesce(spent.gpu_hours, 0) as gpu_hours,
        case when coalesce(gpu_hour, million_prompt_tokens, million_completion_tokens) is not null then
            coalesce(spent.gpu_hours * gpu_hour, 0)
            + coalesce(sampled.bought_prompt_tokens * million_prompt_tokens, 0) / 1e6
            + coalesce(sampled.bought_completion_tokens * million_completion_tokens, 0) / 1e6
        end as money,
        accuracies.accuracy,
        100 * (accuracies.accuracy - first_value(accuracies.accuracy) over (order by rounds.round)) as points
    from rounds
    cross join prices
    left join sampled on sampled.round = rounds.round
    left join trained on trained.round = rounds.round
    left join kept on kept.round = rounds.round
    left join spent on spent.round = rounds.round
    left join accuracies on accuracies.round = rounds.round
    where rounds.experiment = $experiment
),

running as (
    select
        *,
        (sum(sampled_tokens) over so_far)::bigint as sampled_so_far,
        sum(seconds) over so_far as seconds_so_far,
        sum(gpu_hours) over so_far as gpu_hours_so_far,
        sum(money) over so_far as money_so_far
    from by_round
    window so_far as (order by round)
),

final as (
    select
        *,
        sampled_tokens / nullif(kept, 0) as tokens_per_kept,
        case when points > 0 then sampled_so_far / points end as tokens_per_point,
        case when points > 0 then seconds_so_far / points end as seconds_per_point,
        case when points > 0 then money_so_far / points end as money_per_point
    from running
)

select * from final
order by round
