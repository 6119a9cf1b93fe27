"""Graders: what a response's answer is, and whether it is right, wrong, or could not be graded.

`open_grading` grades a stream in order. Cheap graders run in the calling process; what may hang or crash
runs in worker processes that are killed when they overrun. Importing this package imports neither SymPy nor
math-verify.
"""

from pipeline.graders.grading import WINDOW, Grading, is_final, item_key, open_grading
from pipeline.graders.registry import build_grader, extract_answer, grader_digest, parse_config

__all__ = [
    "WINDOW",
    "Grading",
    "build_grader",
    "extract_answer",
    "grader_digest",
    "is_final",
    "item_key",
    "open_grading",
    "parse_config",
]
