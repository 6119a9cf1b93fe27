"""The columns of exported datasets; the first ones are those that TRL's trainers read."""

from __future__ import annotations

import pyarrow as pa

_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))

_TRAINED = [
    ("problem_id", pa.string()),
    ("question", pa.string()),
    ("answer", pa.string()),
    ("difficulty", pa.string()),
    ("origin", pa.string()),
    ("round", pa.int32()),
    ("from_round", pa.int32()),
    ("flagged", pa.string()),
    ("rationale_id", pa.string()),
    ("tokens", pa.int32()),
]
TRAINING = pa.schema([("prompt", pa.string()), ("completion", pa.string()), *_TRAINED])
"""For SFTTrainer; the completion has no end token. `flagged`: what people said of it, be it afterwards."""
TRAINING_CHAT = pa.schema([("messages", _MESSAGES), *_TRAINED])

_PAIRED = [
    ("problem_id", pa.string()),
    ("question", pa.string()),
    ("answer", pa.string()),
    ("difficulty", pa.string()),
    ("chosen_origin", pa.string()),
    ("chosen_round", pa.int32()),
    ("chosen_id", pa.string()),
    ("rejected_origin", pa.string()),
    ("rejected_round", pa.int32()),
    ("rejected_answer", pa.string()),
    ("rejected_id", pa.string()),
]
_SIDES = ("prompt", "chosen", "rejected")
PREFERENCES = pa.schema([*((name, pa.string()) for name in _SIDES), *_PAIRED])
"""For DPOTrainer and its like: a kept text and a wrong one of the same problem."""
PREFERENCES_CHAT = pa.schema([*((name, _MESSAGES) for name in _SIDES), *_PAIRED])

_ASKED = [
    ("answer", pa.string()),
    ("problem_id", pa.string()),
    ("question", pa.string()),
    ("difficulty", pa.string()),
    ("source", pa.string()),
]
PROBLEMS = pa.schema([("prompt", pa.string()), *_ASKED])
"""For GRPOTrainer and its like, which hand `answer` to the reward function."""
PROBLEMS_CHAT = pa.schema([("prompt", _MESSAGES), *_ASKED])

RATIONALES = pa.schema(
    [
        ("problem_id", pa.string()),
        ("question", pa.string()),
        ("gold", pa.string()),
        ("text", pa.string()),
        ("answer", pa.string()),
        ("outcome", pa.string()),
        ("score", pa.float64()),
        ("verdict_reason", pa.string()),
        ("fate", pa.string()),
        ("flagged", pa.string()),
        ("origin", pa.string()),
        ("purpose", pa.string()),
        ("round", pa.int32()),
        ("sample", pa.int32()),
        ("prompt_style", pa.string()),
        ("hint", pa.string()),
        ("finish_reason", pa.string()),
        ("completion_tokens", pa.int32()),
        ("mean_logprob", pa.float64()),
        ("difficulty", pa.string()),
        ("model_hash", pa.string()),
        ("engine", pa.string()),
        ("rationale_id", pa.string()),
    ]
)
"""One row per attempt; `fate`: kept in its round, or the reason why not; `flagged`: what people said."""
