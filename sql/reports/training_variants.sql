-- grain: round and variant of its training (train.variants): what it came to, and whether it became the model
-- dev_accuracy: greedy, by the deciding grader; held_out_loss: the lowest on held-out rows; loss: of the last tenth of
-- its steps; seconds: of training and measuring; failed: why it was stopped
with sweeps as (
    select round, unnest(from_json(
        detail -> '$.variants',
        '[{
            "variant": "VARCHAR", "learning_rate": "DOUBLE", "epochs": "DOUBLE", "dev_accuracy": "DOUBLE",
            "dev_low": "DOUBLE", "dev_high": "DOUBLE", "held_out_loss": "DOUBLE", "loss": "DOUBLE", "steps": "BIGINT",
            "seconds": "DOUBLE", "content_hash": "VARCHAR", "taken": "BOOLEAN", "failed": "VARCHAR"
        }]'
    )) as tried
    from stage_runs
    where experiment = $experiment and stage = 'train' and status = 'done'
    qualify row_number() over (partition by round order by execution desc) = 1
),

final as (
    select round, unnest(tried)
    from sweeps
)

select * from final
order by round, variant
