-- Counts of finished rounds, kept so that pages and reports need not read every attempt again (see
-- pipeline/store/counts.py). What stands here is what sql/views/08_*_counts.sql count; a round that is not in
-- counted_rounds is counted when somebody asks. Portable to DuckLake: NOT NULL only.

-- One row per round whose counts are kept.
CREATE TABLE counted_rounds (
    experiment VARCHAR NOT NULL,
    round INTEGER NOT NULL
);

-- One row per round and origin of attempts to train on; problems counts those attempted, tokens what was sampled.
CREATE TABLE counted_attempts (
    experiment VARCHAR NOT NULL,
    round INTEGER NOT NULL,
    origin VARCHAR NOT NULL,
    attempts BIGINT NOT NULL,
    problems BIGINT NOT NULL,
    correct BIGINT NOT NULL,
    wrong BIGINT NOT NULL,
    ungraded BIGINT NOT NULL,
    unverified BIGINT NOT NULL,
    problems_solved BIGINT NOT NULL,
    cut_off BIGINT NOT NULL,
    tokens BIGINT NOT NULL
);

-- One row per round and fate of attempts to train on.
CREATE TABLE counted_fates (
    experiment VARCHAR NOT NULL,
    round INTEGER NOT NULL,
    fate VARCHAR NOT NULL,
    attempts BIGINT NOT NULL
);
