"""A training row as token ids and labels."""

from __future__ import annotations

from pipeline.engines.tokenizer import Tokenizer

IGNORED_LABEL = -100
"""A position without loss, as torch's cross entropy has it."""


def token_row(tokenizer: Tokenizer, prompt: str, completion: str) -> tuple[list[int], list[int]]:
    """`input_ids` and `labels`: prompt and completion apart, one end token, no loss on the prompt."""
    prompt_ids = tokenizer.encode_prompt(prompt)
    completion_ids = [*tokenizer.encode_completion(completion), tokenizer.end_id]
    return prompt_ids + completion_ids, [IGNORED_LABEL] * len(prompt_ids) + completion_ids
