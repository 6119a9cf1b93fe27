-- grain: round: what was tried, kept and trained on, and how good the model then is
-- problems, generated_correct and rationalized_correct count problems, with at least one correct attempt;
-- accuracies are greedy; where a round was measured in two prompt styles (round 0), the better one stands here.
create or replace view rounds_summary as
with attempts as (
    select
        experiment,
        round,
        sum(attempts) filter (origin = 'generated')::bigint as generated,
        sum(problems) filter (origin = 'generated')::bigint as problems,
        sum(problems_solved) filter (origin = 'generated')::bigint as generated_correct,
        sum(correct) filter (origin = 'generated')::bigint as generated_correct_attempts,
        sum(problems) filter (origin = 'rationalized')::bigint as rationalized,
        sum(problems_solved) filter (origin = 'rationalized')::bigint as rationalized_correct,
        sum(attempts) filter (origin = 'imported')::bigint as imported,
        sum(cut_off)::bigint as cut_off,
        sum(ungraded)::bigint as ungraded,
        sum(tokens)::bigint as sampled_tokens
    from attempt_counts
    group by experiment, round
),

trained_on as (
    select
        experiment,
        round,
        count(*) as training_rows,
        count(*) filter (origin = 'rationalized') as rationalized_rows,
        count(*) filter (reused) as reused_rows,
        count(*) filter (origin = 'replay') as replay_rows
    from current_training_rows
    group by experiment, round
),

accuracies as (
    select
        experiment,
        round,
        arg_max(value, value) filter (split = 'dev') as dev_accuracy,
        arg_max(low, value) filter (split = 'dev') as dev_low,
        arg_max(high, value) filter (split = 'dev') as dev_high,
        arg_max(problems, value) filter (split = 'dev') as dev_problems,
        arg_max(prompt_style, value) filter (split = 'dev') as dev_prompt_style,
        arg_max(value, value) filter (split = 'eval') as eval_accuracy,
        arg_max(low, value) filter (split = 'eval') as eval_low,
        arg_max(high, value) filter (split = 'eval') as eval_high,
        arg_max(problems, value) filter (split = 'eval') as eval_problems,
        arg_max(prompt_style, value) filter (split = 'eval') as eval_prompt_style
    from current_evaluations
    where metric = 'accuracy' and difficulty is null
    group by experiment, round
),

spent as (
    select experiment, round, sum(seconds) as seconds
    from stage_runs
    where status = 'done'
    group by experiment, round
),

final as (
    select
        rounds.experiment,
        rounds.round,
        rounds.status,
        coalesce(attempts.problems, 0) as problems,
        coalesce(attempts.generated, 0) as generated,
        coalesce(attempts.generated_correct, 0) as generated_correct,
        coalesce(attempts.generated_correct_attempts, 0) as generated_correct_attempts,
        coalesce(attempts.rationalized, 0) as rationalized,
        coalesce(attempts.rationalized_correct, 0) as rationalized_correct,
        coalesce(attempts.imported, 0) as imported,
        coalesce(attempts.cut_off, 0) as cut_off,
        coalesce(attempts.ungraded, 0) as ungraded,
        coalesce(trained_on.training_rows, 0) as training_rows,
        coalesce(trained_on.rationalized_rows, 0) as rationalized_rows,
        coalesce(trained_on.reused_rows, 0) as reused_rows,
        coalesce(trained_on.replay_rows, 0) as replay_rows,
        current_checkpoints.steps,
        current_checkpoints.loss,
        current_checkpoints.content_hash as checkpoint_hash,
        accuracies.* exclude (experiment, round),
        coalesce(attempts.sampled_tokens, 0)::bigint as sampled_tokens,
        spent.seconds,
        rounds.decision,
        rounds.reason,
        rounds.started_at,
        rounds.finished_at
    from rounds
    left join attempts on attempts.experiment = rounds.experiment and attempts.round = rounds.round
    left join trained_on on trained_on.experiment = rounds.experiment and trained_on.round = rounds.round
    left join accuracies on accuracies.experiment = rounds.experiment and accuracies.round = rounds.round
    left join spent on spent.experiment = rounds.experiment and spent.round = rounds.round
    left join current_checkpoints
        on current_checkpoints.experiment = rounds.experiment
        and current_checkpoints.round = rounds.round
        and current_checkpoints.variant = 'main'
)

select * from final;
