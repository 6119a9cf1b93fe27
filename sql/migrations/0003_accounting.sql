-- What an execution of a stage did with its time and its memory. Portable to DuckLake: columns without defaults.
-- engine_seconds: of `seconds`, those in which a model wrote or was trained; null where no model is at work.
-- engine_tokens: what it wrote, or saw in training, in them; tokens that an interrupted execution left on disk are
-- in `tokens` only. peak_memory is of the whole process tree from here on; peak_gpu_memory in MiB, null without a GPU.
ALTER TABLE stage_runs ADD COLUMN engine_seconds DOUBLE;
ALTER TABLE stage_runs ADD COLUMN engine_tokens BIGINT;
ALTER TABLE stage_runs ADD COLUMN peak_gpu_memory DOUBLE;
