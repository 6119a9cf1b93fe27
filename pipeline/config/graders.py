"""What a grader is told. Names follow OpenAI's reinforcement fine-tuning graders where the types coincide."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from pipeline.config.engines import EngineConfig
from pipeline.config.grader_presets import with_preset
from pipeline.config.section import Section, option
from pipeline.config.servers import KEY_NAME, checked_key_name, checked_url

Extraction = Literal[
    "boxed", "hash4", "answer_is", "answer_tag", "choice", "bare", "last_math", "last_number", "whole"
]
"""`boxed` the last \\boxed{}, `hash4` after ####, `answer_is` after the answer phrase, `answer_tag` inside
<answer>, `choice` a key, `bare` a response that is one line and no prose, `last_math` the last $...$."""


class GraderBase(Section):
    """What every grader has."""

    name: str = option("main", pattern=r"^[a-z][a-z0-9_-]{0,30}$")
    """Under which name its verdicts are stored."""

    gold: str = option("{{item.answer}}")
    """Template of the gold answer."""

    pass_threshold: float = option(1.0, gt=0, le=1)
    """An attempt is `correct` when its score reaches this."""

    max_chars: int = option(20_000, ge=1)
    """A longer response is graded on its last this many characters."""


class MathGrader(GraderBase):
    """Numbers and expressions: an exact fast path, then math-verify in a process that can be killed."""

    type: Literal["math"] = "math"
    extract: tuple[Extraction, ...] = option(("boxed", "hash4", "answer_is", "bare"))
    """Where the answer stands, tried in this order."""
    ordered: bool = option(False)
    """Whether the order of a list without brackets counts (`1, 2` for `2, 1`); in a tuple it always does."""
    units: Literal["ignore", "match", "strict"] = option("match")
    """`ignore` drops units. `match`: where both sides have one, they agree (5 km is 5000 m, not
    5 m). `strict`: a unit on one side only is different."""
    percent: Literal["ignore", "strict", "value", "either"] = option("ignore")
    """28% against: `ignore` 28; `strict` neither 28 nor 0.28; `value` 0.28; `either` both."""
    tolerance: float = option(0.0, ge=0)
    """Largest accepted relative difference of two numbers; 0 compares exactly."""
    decimals: Literal["rounded", "exact"] = option("rounded")
    """`rounded`: a decimal of at least 4 digits and 3 decimals equals what it rounds, where none is exact
    (2.6667 for 8/3). `exact`: it does not."""
    timeout_s: float = option(2.0, gt=0)
    """Processor seconds for one item; half a second later its process is killed."""


class NumericGrader(GraderBase):
    """One number, compared exactly or within a tolerance."""

    type: Literal["numeric"] = "numeric"
    extract: tuple[Extraction, ...] = option(("boxed", "hash4", "answer_is", "last_number"))
    """Where the answer stands, tried in this order."""
    tolerance: float = option(0.0, ge=0)
    """Largest accepted relative difference; 0 compares exactly."""


class ChoiceGrader(GraderBase):
    """The key of a multiple-choice answer, or the text of the choice where exactly one choice reads so."""

    type: Literal["choice"] = "choice"
    extract: tuple[Extraction, ...] = option(("choice", "answer_is"))
    """Where the answer stands, tried in this order."""


class StringCheckGrader(GraderBase):
    """String comparison of the part after `answer_marker`, or of the whole response where there is none."""

    type: Literal["string_check"] = "string_check"
    input: str = option("{{sample.output_text}}")
    """Template of what is compared."""
    operation: Literal["eq", "ne", "like", "ilike"] = option("eq")
    """`eq` equal, `ne` different, `like` contains the gold, `ilike` contains it whatever the case."""
    answer_marker: str | None = option(None)
    """Compare only what follows the last occurrence of this text (`Ans:`); without it: no answer."""
    extract: tuple[Extraction, ...] = option(())
    """Compare only what one of these finds, tried in this order, after `</think>`; none: all of it."""
    normalize: tuple[Literal["case", "punctuation", "articles", "spaces"], ...] = option(())
    """Differences of both sides that do not count."""


class CodeGrader(GraderBase):
    """A program against its tests, in a bubblewrap sandbox. The gold is JSON: `{"test", "entry_point"}`,
    `{"entry_point", "cases": [[arguments, expected], ...]}` or `{"cases": [{"stdin", "stdout"}, ...]}`."""

    type: Literal["code"] = "code"
    timeout_s: float = option(5.0, gt=0)
    """Seconds for one run of the program (all calls of one function together)."""
    total_s: float = option(120.0, gt=0)
    """Seconds for all runs of one item."""
    memory_mb: int = option(512, ge=64)
    """Address space of the program, in MiB."""
    max_output_bytes: int = option(1 << 20, ge=1024)
    """A program that says more has failed."""
    partial: bool = option(False)
    """Score the share of tests passed, instead of all or nothing."""
    allow_unsafe: bool = option(False)
    """Run without bubblewrap. Only for programs you would run yourself."""


class TextSimilarityGrader(GraderBase):
    """How alike the response and a reference are; `correct` from `pass_threshold` on."""

    type: Literal["text_similarity"] = "text_similarity"
    input: str = option("{{sample.output_text}}")
    """Template of what is compared."""
    reference: str | None = option(None)
    """Template of what it is compared with; None: `gold`."""
    evaluation_metric: Literal[
        "fuzzy_match",
        "bleu",
        "gleu",
        "cosine",
        "rouge_1",
        "rouge_2",
        "rouge_3",
        "rouge_4",
        "rouge_5",
        "rouge_l",
    ] = option("fuzzy_match")
    """Metric between 0 and 1."""
    ignore_case: bool = option(False)


class JsonSchemaGrader(GraderBase):
    """A response that must be JSON and valid under a schema; the gold is the schema unless given here."""

    type: Literal["json_schema"] = "json_schema"
    json_schema: dict[str, Any] | None = option(None)
    """The schema; None: the gold, as JSON text."""
    draft: Literal["draft3", "draft4", "draft6", "draft7", "draft2019-09", "draft2020-12"] = option(
        "draft2020-12"
    )
    """Where the schema names none."""
    formats: bool = option(False)
    """Whether `format` is enforced (the standard leaves it to the user)."""
    timeout_s: float = option(2.0, gt=0)
    """Processor seconds for one item."""


class Constraint(Section):
    """One check: an IFEval instruction, or Python of your own."""

    id: str = option(min_length=1)
    """Name, for IFEval's as there: `punctuation:no_comma`."""
    kwargs: dict[str, Any] = option(default_factory=dict)
    """Options of the check."""
    source: str | None = option(None)
    """Python with `def check(response, item) -> bool`, run in the sandbox."""


class ConstraintsGrader(GraderBase):
    """Verifiable instructions, as IFEval (arXiv 2311.07911)."""

    type: Literal["constraints"] = "constraints"
    checks: tuple[Constraint, ...] | None = option(None)
    """The checks; None: those in the gold, `{"instruction_id_list": [...], "kwargs": [...]}`."""
    mode: Literal["all", "fraction"] = option("all")
    """Score 1 or 0, or the share of checks kept."""
    strictness: Literal["strict", "loose"] = option("strict")
    """`loose` also tries the response without its first line, its last line and asterisks."""
    timeout_s: float = option(5.0, gt=0)
    """Seconds for one check of your own."""
    allow_unsafe: bool = option(False)
    """Run checks of your own without bubblewrap."""


class PythonGrader(GraderBase):
    """Python of your own: `def grade(sample, item) -> float` between 0 and 1, run in the sandbox."""

    type: Literal["python"] = "python"
    source: str = option()
    timeout_s: float = option(5.0, gt=0)
    """Seconds for one item."""
    memory_mb: int = option(512, ge=64)
    """Address space, in MiB."""
    allow_unsafe: bool = option(False)
    """Run without bubblewrap."""


class HintLeakGrader(GraderBase):
    """1 unless the text speaks of the hint it was shown; applies to rationalized attempts by default."""

    type: Literal["hint_leak"] = "hint_leak"
    phrases: tuple[str, ...] = option(("the given answer", "the hint", "(CORRECT)", "work backwards"))
    """Phrases that give it away, whatever the case."""
    phase: Literal["rationalized", "all"] = option("rationalized")
    """Which attempts it applies to; others score 1."""


class FalseEquationGrader(GraderBase):
    """1 unless an equation between numbers in the text is false."""

    type: Literal["false_equation"] = "false_equation"
    phase: Literal["rationalized", "all"] = option("all")
    """Which attempts it applies to; others score 1."""
    tolerance: float = option(0.01, ge=0)
    """Relative difference that still counts as rounding."""


class UnsupportedNumberGrader(GraderBase):
    """1 if the final number is the result of some equation in the text, or there are no equations."""

    type: Literal["unsupported_final_number"] = "unsupported_final_number"
    extract: tuple[Extraction, ...] = option(("boxed", "hash4", "answer_is", "last_number"))
    """Where the final number stands."""
    phase: Literal["rationalized", "all"] = option("all")
    """Which attempts it applies to; others score 1."""


class AnswerFirstGrader(GraderBase):
    """0 if the text states the gold answer before any derivation."""

    type: Literal["answer_before_derivation"] = "answer_before_derivation"
    phase: Literal["rationalized", "all"] = option("rationalized")
    """Which attempts it applies to; others score 1."""


class NewContentGrader(GraderBase):
    """1 if enough of the text's words are not already in the question, the choices and the hint."""

    type: Literal["min_new_content"] = "min_new_content"
    words: int = option(3, ge=0)
    """Fewest new words or numbers, each counted once."""
    phase: Literal["rationalized", "all"] = option("all")
    """Which attempts it applies to; others score 1."""


class JudgeMessage(Section):
    """One message to a judge; templates are filled in."""

    role: Literal["system", "user", "assistant"] = option()
    content: str = option()


_ENDPOINT = "http://127.0.0.1:8000/v1"


class JudgeBase(GraderBase):
    """A model that judges: behind an OpenAI-compatible endpoint, or opened here by an engine."""

    model: str = option()
    """Name of the model at the endpoint; with `engine` the folder or the hub id of a chat model."""
    engine: EngineConfig | None = option(None)
    """Open `model` with this engine, once and in a process of its own, instead of asking an endpoint."""
    revision: str | None = option(None)
    """With `engine`: commit of the hub repository."""
    base_url: str = option(_ENDPOINT)
    """The endpoint; `/chat/completions` is asked."""
    api_key_env: str | None = option(None, pattern=KEY_NAME)
    """Name of the environment variable that holds the key. The key itself is never in a config."""
    input: tuple[JudgeMessage, ...] = option(min_length=1)
    """The rubric. What `{{sample...}}` brings in is put between random delimiters."""
    votes: int = option(1, ge=1, le=15)
    """How often it is asked; more than half must answer. Scores: the median; labels: the majority."""
    temperature: float = option(0.0, ge=0)
    """Of the judge; more than one vote needs more than 0 to differ."""
    max_tokens: int = option(512, ge=1)
    """Of one answer."""
    timeout_s: float = option(60.0, gt=0)
    """Seconds for one answer."""
    retries: int = option(4, ge=0)
    """How often a refusal for load (429, 5xx), a broken connection or a timeout is tried again."""
    backoff_s: float = option(1.0, ge=0)
    """First pause; doubled each time, `Retry-After` obeyed up to 60 s."""
    alone: bool = option(False)
    """Let it decide by itself on a problem with a gold answer. Otherwise such an item is `ungraded`
    (`judge_alone`): put it into a `multi` beside a grader that checks the answer."""

    @field_validator("base_url")
    @classmethod
    def _without_a_secret(cls, url: str) -> str:
        return checked_url(url)

    @field_validator("api_key_env", mode="before")
    @classmethod
    def _a_name_and_no_key(cls, name: object) -> object:
        return checked_key_name(name)

    @model_validator(mode="after")
    def _endpoint_or_engine(self) -> JudgeBase:
        if self.engine is not None and (self.base_url != _ENDPOINT or self.api_key_env is not None):
            raise ValueError(
                f"judge {self.name!r} has an engine, so it asks no endpoint; drop base_url and api_key_env, "
                "or engine"
            )
        if self.engine is not None and self.engine.kind == "openai":
            raise ValueError(f"judge {self.name!r}: engine.kind openai is no engine of a judge; set base_url")
        if self.engine is None and self.revision is not None:
            raise ValueError(f"judge {self.name!r} has a revision and no engine; remove it or add one")
        return self


class ScoreModelGrader(JudgeBase):
    """A judge that gives a score, as OpenAI's grader of that name."""

    type: Literal["score_model"] = "score_model"
    range: tuple[float, float] = option((0.0, 1.0))
    """Lowest and highest score; `score` is scaled to 0..1."""


class LabelModelGrader(JudgeBase):
    """A judge that gives a label, as OpenAI's grader of that name."""

    type: Literal["label_model"] = "label_model"
    labels: tuple[str, ...] = option(min_length=2)
    """All labels."""
    passing_labels: tuple[str, ...] = option(min_length=1)
    """Those that score 1."""


class MultiGrader(GraderBase):
    """Several graders and a formula over their scores, as OpenAI's grader of that name."""

    type: Literal["multi"] = "multi"
    graders: dict[str, PartConfig] = option(min_length=1)
    """By the name that the formula uses."""
    calculate_output: str = option()
    """`+ - * / **`, numbers, comparisons and `min max abs sqrt floor ceil exp log` over the names."""

    @property
    def judges(self) -> tuple[str, ...]:
        """Names of the graders that are judges."""
        return tuple(name for name, part in self.graders.items() if isinstance(part, JudgeBase))


PartConfig = Annotated[
    MathGrader
    | NumericGrader
    | ChoiceGrader
    | StringCheckGrader
    | TextSimilarityGrader
    | CodeGrader
    | ConstraintsGrader
    | JsonSchemaGrader
    | PythonGrader
    | ScoreModelGrader
    | LabelModelGrader
    | HintLeakGrader
    | FalseEquationGrader
    | UnsupportedNumberGrader
    | AnswerFirstGrader
    | NewContentGrader,
    Field(discriminator="type"),
    BeforeValidator(with_preset),
]
"""What can be a part of `multi`: everything but `multi`."""

MultiGrader.model_rebuild()

GraderConfig = Annotated[
    MathGrader
    | NumericGrader
    | ChoiceGrader
    | StringCheckGrader
    | TextSimilarityGrader
    | CodeGrader
    | ConstraintsGrader
    | JsonSchemaGrader
    | PythonGrader
    | ScoreModelGrader
    | LabelModelGrader
    | HintLeakGrader
    | FalseEquationGrader
    | UnsupportedNumberGrader
    | AnswerFirstGrader
    | NewContentGrader
    | MultiGrader,
    Field(discriminator="type"),
    BeforeValidator(with_preset),
]
"""Any grader. `preset: NAME` stands for options of `pipeline.config.grader_presets`; others override them."""
