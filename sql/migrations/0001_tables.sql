-- The tables of a store. Portable to DuckLake: NOT NULL only, no keys, no CHECK, no indexes.
-- Uniqueness and invariants are queries in sql/checks/. `rationales` is in plain/ (its text is compressed there).
-- Tables that a stage commits carry experiment, round, stage, shard and superseded: rows of a run that was
-- replaced are marked, never erased, so that what a checkpoint cites stays.

CREATE TABLE store_info (
    product VARCHAR NOT NULL,
    schema_version INTEGER NOT NULL,
    views_digest VARCHAR,
    created_at TIMESTAMP NOT NULL
);

-- One row per experiment.
CREATE TABLE experiments (
    experiment VARCHAR NOT NULL,
    config JSON NOT NULL,
    config_digest VARCHAR NOT NULL,
    base_model VARCHAR,
    base_hash VARCHAR,
    exemplars JSON,
    created_at TIMESTAMP NOT NULL
);

-- One row per round of an experiment; config is the resolved one of that round.
CREATE TABLE rounds (
    experiment VARCHAR NOT NULL,
    round INTEGER NOT NULL,
    config JSON,
    problems_digest VARCHAR,
    base_model_hash VARCHAR,
    model_hash VARCHAR,
    status VARCHAR,
    decision VARCHAR,
    reason VARCHAR,
    started_at TIMESTAMP,
    finished_at TIMESTAMP
);

-- One row per problem of an experiment.
CREATE TABLE problems (
    experiment VARCHAR NOT NULL,
    problem_id VARCHAR NOT NULL,
    split VARCHAR NOT NULL,
    question VARCHAR NOT NULL,
    answer VARCHAR NOT NULL,
    choices JSON,
    difficulty VARCHAR,
    source VARCHAR,
    solution VARCHAR,
    meta JSON,
    exemplar BOOLEAN NOT NULL,
    added_round INTEGER NOT NULL,
    canonical_prompt_hash VARCHAR,
    round INTEGER NOT NULL,
    stage VARCHAR NOT NULL,
    shard INTEGER NOT NULL,
    superseded BOOLEAN NOT NULL
);

-- One row per source row that was refused; line counts from 1.
CREATE TABLE bad_problems (
    experiment VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    line INTEGER,
    reason VARCHAR NOT NULL,
    detail VARCHAR,
    round INTEGER NOT NULL,
    stage VARCHAR NOT NULL,
    shard INTEGER NOT NULL,
    superseded BOOLEAN NOT NULL
);

-- One row per prompt text, shared by all experiments.
CREATE TABLE prompts (
    prompt_hash VARCHAR NOT NULL,
    text VARCHAR NOT NULL
);

-- One row per attempt and grader. `decides`: the round's own grader, whose verdict selection follows.
CREATE TABLE verdicts (
    rationale_id VARCHAR NOT NULL,
    experiment VARCHAR NOT NULL,
    round INTEGER NOT NULL,
    grader VARCHAR NOT NULL,
    grader_digest VARCHAR NOT NULL,
    outcome VARCHAR NOT NULL,
    score DOUBLE,
    reason VARCHAR,
    answer VARCHAR,
    subscores JSON,
    elapsed_ms DOUBLE,
    decides BOOLEAN NOT NULL,
    stage VARCHAR NOT NULL,
    shard INTEGER NOT NULL,
    superseded BOOLEAN NOT NULL
);

-- One row per row a model was trained on; from_round is the round its attempt was made in.
CREATE TABLE training_rows (
    experiment VARCHAR NOT NULL,
    round INTEGER NOT NULL,
    from_round INTEGER NOT NULL,
    rationale_id VARCHAR NOT NULL,
    problem_id VARCHAR NOT NULL,
    origin VARCHAR NOT NULL,
    grader_digest VARCHAR,
    prompt VARCHAR NOT NULL,
    prompt_hash VARCHAR,
    completion VARCHAR NOT NULL,
    tokens INTEGER NOT NULL,
    norm_hash VARCHAR NOT NULL,
    sample INTEGER NOT NULL,
    input_ids INTEGER[] NOT NULL,
    labels INTEGER[] NOT NULL,
    training_set_digest VARCHAR,
    stage VARCHAR NOT NULL,
    shard INTEGER NOT NULL,
    superseded BOOLEAN NOT NULL
);

-- One row per attempt, or problem (rationale_id null), left out of a training set.
CREATE TABLE rejections (
    experiment VARCHAR NOT NULL,
    round INTEGER NOT NULL,
    rationale_id VARCHAR,
    problem_id VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    detail VARCHAR,
    stage VARCHAR NOT NULL,
    shard INTEGER NOT NULL,
    superseded BOOLEAN NOT NULL
);

-- One row per trained model; path is relative to the home.
CREATE TABLE checkpoints (
    experiment VARCHAR NOT NULL,
    round INTEGER NOT NULL,
    variant VARCHAR NOT NULL,
    path VARCHAR NOT NULL,
    content_hash VARCHAR NOT NULL,
    parent_hash VARCHAR NOT NULL,
    base_hash VARCHAR NOT NULL,
    training_set_digest VARCHAR NOT NULL,
    rows BIGINT NOT NULL,
    steps BIGINT NOT NULL,
    epochs DOUBLE,
    tokens BIGINT,
    loss DOUBLE,
    seconds DOUBLE,
    stage VARCHAR NOT NULL,
    shard INTEGER NOT NULL,
    superseded BOOLEAN NOT NULL
);

-- One row per round, split, metric, prompt style and difficulty (null: all difficulties).
CREATE TABLE evaluations (
    experiment VARCHAR NOT NULL,
    round INTEGER NOT NULL,
    split VARCHAR NOT NULL,
    metric VARCHAR NOT NULL,
    difficulty VARCHAR,
    grader_digest VARCHAR,
    prompt_style VARCHAR NOT NULL,
    problems INTEGER NOT NULL,
    samples INTEGER,
    k INTEGER,
    correct INTEGER,
    value DOUBLE,
    low DOUBLE,
    high DOUBLE,
    stage VARCHAR NOT NULL,
    shard INTEGER NOT NULL,
    superseded BOOLEAN NOT NULL
);

-- One row per execution of a stage's shard; execution counts the stage's runs from 1. peak_memory in MiB.
CREATE TABLE stage_runs (
    experiment VARCHAR NOT NULL,
    round INTEGER NOT NULL,
    stage VARCHAR NOT NULL,
    shard INTEGER NOT NULL,
    shards INTEGER NOT NULL,
    execution INTEGER NOT NULL,
    status VARCHAR NOT NULL,
    input_digest VARCHAR NOT NULL,
    output_digest VARCHAR,
    rows_in BIGINT,
    rows_out BIGINT,
    tokens BIGINT,
    seconds DOUBLE,
    peak_memory DOUBLE,
    host VARCHAR,
    device VARCHAR,
    versions JSON,
    detail JSON,
    summary VARCHAR,
    error VARCHAR,
    started_at TIMESTAMP NOT NULL,
    finished_at TIMESTAMP
);

-- One row per shard file loaded; a shard that loaded none has one row without table, path and sha256.
CREATE TABLE commits (
    experiment VARCHAR NOT NULL,
    round INTEGER NOT NULL,
    stage VARCHAR NOT NULL,
    shard INTEGER NOT NULL,
    shards INTEGER NOT NULL,
    table_name VARCHAR,
    path VARCHAR,
    sha256 VARCHAR,
    rows BIGINT NOT NULL,
    input_digest VARCHAR NOT NULL,
    output_digest VARCHAR NOT NULL,
    committed_at TIMESTAMP NOT NULL
);

-- One row per holder; scope is empty for the whole experiment. pid_started: seconds since the epoch.
CREATE TABLE leases (
    experiment VARCHAR NOT NULL,
    scope VARCHAR NOT NULL,
    holder VARCHAR NOT NULL,
    host VARCHAR NOT NULL,
    pid BIGINT NOT NULL,
    pid_started DOUBLE NOT NULL,
    what VARCHAR NOT NULL,
    acquired_at TIMESTAMP NOT NULL,
    renewed_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP NOT NULL
);
