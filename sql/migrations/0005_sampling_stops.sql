-- Where adaptive sampling stopped. Portable to DuckLake: NOT NULL only, no keys, no CHECK, no indexes.

-- One row per problem that a round sampled adaptively: its samples, how many of them were correct and could be kept
-- (each text once), their completion tokens, the pass rate estimated when it stopped, and why it stopped: `enough`,
-- `samples` (generate.samples), `budget`, `hopeless` (generate.adaptive.give_up) or `prompt_too_long`.
CREATE TABLE sampling_stops (
    experiment VARCHAR NOT NULL,
    round INTEGER NOT NULL,
    problem_id VARCHAR NOT NULL,
    difficulty VARCHAR,
    samples INTEGER NOT NULL,
    correct INTEGER NOT NULL,
    tokens BIGINT NOT NULL,
    pass_rate DOUBLE NOT NULL,
    reason VARCHAR NOT NULL,
    stage VARCHAR NOT NULL,
    shard INTEGER NOT NULL,
    superseded BOOLEAN NOT NULL
);
