-- grain: experiment and prompt, once for every row of the experiment that cites it, replaced ones too
create or replace view cited_prompts as
select experiment, prompt_hash from rationales
union all
select experiment, canonical_prompt_hash from problems where canonical_prompt_hash is not null
union all
select experiment, prompt_hash from training_rows where prompt_hash is not null;
