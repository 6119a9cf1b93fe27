"""Named conventions: `preset: gsm8k` in a grader stands for the options its users agree on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    # `#### 72`, or the phrase; percent signs and units do not count.
    "gsm8k": {
        "type": "math",
        "extract": ["boxed", "hash4", "answer_is"],
        "units": "ignore",
        "percent": "ignore",
    },
    # Hendrycks et al. (arXiv 2103.03874): the last box; lists in the order of the gold.
    "math": {"type": "math", "extract": ["boxed", "answer_is"], "ordered": True, "percent": "ignore"},
    # The same with solution sets in any order, as most graders of today take them.
    "math_unordered": {"type": "math", "extract": ["boxed", "answer_is"], "percent": "ignore"},
    # math-verify reads any mathematics in the text, the last first, and takes 28% for 28 and for 0.28.
    "math_verify": {
        "type": "math",
        "extract": ["boxed", "hash4", "answer_is", "last_math", "bare", "last_number"],
        "percent": "either",
    },
    # Zelikman et al. (arXiv 2203.14465): "... Therefore, the answer is blotter (e)."
    "commonsenseqa": {"type": "choice", "extract": ["answer_is", "choice"]},
    # The demo and the paper's n-digit addition: the rest of the marker's line, as it is.
    "addition": {"type": "string_check", "answer_marker": "Ans:", "operation": "eq"},
    # Puzzles: what stands in <answer>, or all of it; case, punctuation and articles do not count.
    "puzzle": {
        "type": "string_check",
        "extract": ["answer_tag", "whole"],
        "normalize": ["case", "punctuation", "articles", "spaces"],
    },
    # IFEval (arXiv 2311.07911): the instructions of the problem, all of them.
    "ifeval": {"type": "constraints", "mode": "all", "strictness": "strict"},
    "ifeval_loose": {"type": "constraints", "mode": "all", "strictness": "loose"},
    # HumanEval and MBPP: assertions or cases as JSON in the gold.
    "humaneval": {"type": "code", "timeout_s": 5.0},
}


def with_preset(data: Any) -> Any:
    """A grader's mapping, its `preset` replaced by what that stands for. ValueError for an unknown name."""
    if not isinstance(data, Mapping) or "preset" not in data:
        return data
    name = data["preset"]
    if name not in PRESETS:
        raise ValueError(f"preset {name!r} does not exist; there are: {', '.join(sorted(PRESETS))}")
    own = {key: value for key, value in data.items() if key != "preset"}
    return {**PRESETS[name], **own}
