"""The nouns of the project as typed records. Every stage, table and page uses these words.

The records mirror the paper's vocabulary (Zelikman et al. 2022, section 3): a *problem* with a gold
answer, a *rationale* written for it, the *verdict* of a grader, and the *training row* a kept rationale
becomes. They are plain frozen dataclasses: cheap to make by the million and free of any library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Split(StrEnum):
    """`dev` decides (stopping, best round, temperature); `eval` is only ever reported, and so is `further`:
    problems of other tasks (`evaluate.further`), each with the name of its set as its source."""

    TRAIN = "train"
    DEV = "dev"
    EVAL = "eval"
    FURTHER = "further"


class Origin(StrEnum):
    """How an attempt came about; `replay` is a training row of general data, which nobody attempted."""

    GENERATED = "generated"
    RATIONALIZED = "rationalized"
    EVALUATED = "evaluated"
    IMPORTED = "imported"
    REPLAY = "replay"


class Purpose(StrEnum):
    """What an attempt is for: to train on, to measure greedily, with k samples or (greedily) on a further
    set, to test a rationale, or to choose a temperature."""

    TRAINING = "training"
    GREEDY = "greedy"
    SAMPLES = "samples"
    FURTHER = "further"
    REGENERATION = "regeneration"
    TEMPERATURE = "temperature"


class PromptStyle(StrEnum):
    """Which block of exemplars stands before the question."""

    ZERO_SHOT = "zero_shot"
    FEW_SHOT = "few_shot"
    HINTED = "hinted"


class FinishReason(StrEnum):
    """Why the text ended. `LENGTH` is the only one that counts as cut off."""

    EOS = "eos"
    STOP = "stop"
    ANSWER = "answer"
    LENGTH = "length"
    PROMPT_TOO_LONG = "prompt_too_long"


class Outcome(StrEnum):
    """What a grader said. A grader that failed says `UNGRADED`, never `WRONG`."""

    CORRECT = "correct"
    WRONG = "wrong"
    UNGRADED = "ungraded"


class StopReason(StrEnum):
    """Why a problem got no more samples in a round of adaptive sampling."""

    ENOUGH = "enough"
    SAMPLES = "samples"
    BUDGET = "budget"
    HOPELESS = "hopeless"
    PROMPT_TOO_LONG = "prompt_too_long"


class RejectionReason(StrEnum):
    """Why an attempt or a problem was left out of the training set."""

    EXEMPLAR = "exemplar"
    CONTAMINATED = "contaminated"
    PROMPT_TOO_LONG = "prompt_too_long"
    CUT_OFF = "cut_off"
    WRONG = "wrong"
    UNGRADED = "ungraded"
    HINT_LEAKED = "hint_leaked"
    QUALITY = "quality"
    DUPLICATE = "duplicate"
    TOO_FEW_CORRECT = "too_few_correct"
    OVER_PROBLEM_CAP = "over_problem_cap"
    OVER_RATIONALIZED_SHARE = "over_rationalized_share"
    ROW_TOO_LONG = "row_too_long"
    END_TOKEN_INSIDE = "end_token_inside"
    EXCLUDED_BY_PERSON = "excluded_by_person"
    HELD_OUT = "held_out"


@dataclass(frozen=True, slots=True)
class Problem:
    """A question with a gold answer.

    `choices` maps a key to its text ("a" -> "blotter") for multiple choice, else it is empty.
    `solution` is a gold rationale where the source has one: it may serve as few-shot exemplar or as a
    control arm, and is never shown when rationalizing. `meta` keeps the mapped source's further fields.
    """

    problem_id: str
    split: Split
    question: str
    answer: str
    choices: Mapping[str, str] = field(default_factory=dict)
    difficulty: str | None = None
    source: str = ""
    solution: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BadProblem:
    """A source row that was refused: the file, its line (from 1), why."""

    source: str
    line: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One worked example of a few-shot block. `rationale` ends with its answer line."""

    question: str
    rationale: str
    answer: str
    choices: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat prompt: role is `system`, `user` or `assistant`."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as sent to the model: `text` is the exact string, special tokens of the template included.

    `hint` is the substring that gives the answer away (None where no hint is shown).
    """

    text: str
    style: PromptStyle
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """How completions are drawn. Every field is sent, else a server applies a model's own defaults.

    `temperature` 0 is greedy. `top_k` 0 is off. `stop` strings end a text and are not part of it.
    """

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One sample asked of an engine (n = 1), with a seed of its own.

    `sampling`: where it is drawn otherwise than the requests that it is written beside.
    """

    request_id: str
    prompt: str
    seed: int
    sampling: Sampling | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """What an engine wrote for a request. `text` excludes the prompt, stop strings and special tokens.

    `mean_logprob` is the mean log-probability of the sampled tokens under the untempered model, None where
    the engine does not tell. `seconds` is the wall time attributed to this completion.
    `finish_reason` PROMPT_TOO_LONG means that nothing was generated because the prompt fills the context.
    """

    request_id: str
    text: str
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    mean_logprob: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class GradeItem:
    """What a grader sees: the problem, the attempt's text, and how the attempt came about.

    `key` identifies the item to the caller (a rationale id) and is given back untouched.
    `answer` is the gold answer; `response` the text a model wrote. `item` holds the problem's fields for
    `{{item.x}}` templates (question, answer, choices, solution, meta fields).
    """

    key: str
    answer: str
    response: str
    question: str = ""
    choices: Mapping[str, str] = field(default_factory=dict)
    origin: Origin = Origin.GENERATED
    hint: str | None = None
    item: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a grader said of one item.

    `score` is in [0, 1]; `reason` is a short snake_case word (`exact`, `symbolic`, `no_answer`, `timeout`,
    `crashed`, `unparseable_gold`, ...); `answer` is what was extracted from the response (None: nothing).
    """

    key: str
    outcome: Outcome
    score: float
    reason: str
    answer: str | None = None
    subscores: Mapping[str, float] = field(default_factory=dict)
    elapsed_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """A stored rationale with its verdict, as `select` sees it. Field names are the columns of the tables."""

    rationale_id: str
    problem_id: str
    round: int
    origin: Origin
    sample: int
    text: str
    answer: str | None
    hint: str | None
    finish_reason: FinishReason
    completion_tokens: int
    norm_hash: str
    mean_logprob: float | None
    outcome: Outcome
    score: float
    reason: str
    subscores: Mapping[str, float] = field(default_factory=dict)
    flagged: str | None = None
    """What people said against it: a verdict called wrong, or an exclusion."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """An attempt (or, with `rationale_id` None, a problem) left out of the training set, with its reason."""

    problem_id: str
    rationale_id: str | None
    reason: RejectionReason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """A kept rationale as the model is trained on it.

    `input_ids` is prompt + completion + one end token; `labels` equals it with -100 on the prompt, so that
    the loss falls on the completion and its single end token only.
    """

    rationale_id: str
    problem_id: str
    prompt: str
    completion: str
    input_ids: tuple[int, ...]
    labels: tuple[int, ...]
