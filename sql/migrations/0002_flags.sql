-- What people say of attempts. Portable to DuckLake: NOT NULL only, no keys, no CHECK, no indexes.

-- One row per flag that a person put on an attempt; one that was taken back stays, with who did it and when.
-- kind: `wrong_verdict` (the grader is mistaken) or `exclude` (not to be trained on). Neither is trained
-- on, nor is what reads as it (norm_hash) as an attempt at the same problem in that round or a later one.
CREATE TABLE flags (
    flag_id VARCHAR NOT NULL,
    experiment VARCHAR NOT NULL,
    round INTEGER NOT NULL,
    rationale_id VARCHAR NOT NULL,
    problem_id VARCHAR NOT NULL,
    norm_hash VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    note VARCHAR NOT NULL,
    author VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL,
    withdrawn_by VARCHAR,
    withdrawn_at TIMESTAMP
);
