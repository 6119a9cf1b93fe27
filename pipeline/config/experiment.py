"""The config of an experiment, section by section in the order of a round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from pipeline.config.engines import EngineConfig
from pipeline.config.graders import GraderConfig
from pipeline.config.problems import FieldMap, ProblemsConfig, TaskSplit
from pipeline.config.section import Section, option
from pipeline.config.tasks import ExemplarConfig
from pipeline.config.tiny_base import TinyBase
from pipeline.errors import ConfigError
from pipeline.records import PromptStyle, Split


class ModelConfig(Section):
    """The base model: round 0, and where training starts from."""

    base: str = option()
    """Hub id (`Qwen/Qwen2.5-0.5B`), a folder with safetensors weights (its path from where `star` is run), or
    `tiny` to pretrain the one below."""
    revision: str | None = option(None)
    """Commit of the hub repository."""
    tiny: TinyBase | None = option(None)
    """How to pretrain a small local base; cached under the home by the digest of this section."""

    @model_validator(mode="after")
    def _tiny_is_described(self) -> ModelConfig:
        if (self.base == "tiny") != (self.tiny is not None):
            raise ValueError("model.base is 'tiny' exactly when model.tiny describes it")
        return self


class PromptsConfig(Section):
    """How questions, hints and exemplars are laid out. `{question}`, `{choices}` and `{hint}` are
    replaced."""

    chat: bool = option(False)
    """Use the tokenizer's chat template: exemplars become turns, the end-of-turn token stops and is
    trained."""
    system: str | None = option(None)
    """System message of a chat prompt."""
    question: str = option("Q: {question}\nA:")
    """The canonical question."""
    hinted_question: str = option("Q: {question} ({hint})\nA:")
    """The question as shown when rationalizing; `{hint}` is the gold answer (paper, section 3.3)."""
    choice: str = option("({key}) {text}")
    """One line of `{choices}`."""
    hinted_choice: str = option("({key}) {text} (CORRECT)")
    """The line of the right choice when rationalizing, as in the paper's figure 2."""
    completion_prefix: str = option(" ")
    """What stands between a plain prompt and the text of a rationale."""
    separator: str = option("\n\n")
    """Between exemplars of a plain prompt."""
    answer_line: str | None = option(None)
    """Regular expression of a line that completes an answer (`####.*`): a text ends after the first such
    line."""
    few_shot: tuple[ExemplarConfig, ...] = option(())
    """Exemplars of the generation prompt, and, with hints, of the rationalization prompt. A train problem
    with
    the question of an exemplar leaves the pool."""
    hinted_few_shot: tuple[ExemplarConfig, ...] | None = option(None)
    """Exemplars of the rationalization prompt. None: those of `few_shot`."""


class AdaptiveConfig(Section):
    """Sample in waves, and stop at a problem whose rationales are enough.

    What is drawn is graded between the waves, by `verify.grader`: a judge with an engine of its own shares
    the GPU with the model that writes. Sample i of a problem is the same text as without it.
    """

    enough: int = option(1, ge=1)
    """Correct rationales, as `select` could keep them, after which a problem gets no more samples."""
    first: int = option(1, ge=1)
    """Samples of every problem in the first wave."""
    give_up: float = option(0.0, ge=0, lt=1)
    """A problem whose estimated pass rate is below this gets no more samples; 0 goes on to `samples`."""
    budget: int | None = option(None, ge=1)
    """Completion tokens of a round per problem, on average: 600 problems at 100 have 60,000 together. The
    first wave is drawn in any case; later waves are planned by the mean length so far, problems without a
    correct rationale first, of those the ones whose next one is expected to cost least. With several shards
    each has the share of its problems. None: no limit but `samples`."""


class TemperatureConfig(Section):
    """Choose the temperature of each round on dev problems, by the balance score of B-STaR (arXiv
    2412.17256).

    The score of a problem is min(c / target, 1) * c / n, of n distinct texts of which c are correct and
    complete: many different right ones, and few wrong ones beside them. The candidate with the best mean
    writes the round. The paper also moves a threshold on a reward; here a verdict is right or wrong.
    """

    candidates: tuple[Annotated[float, Field(gt=0, le=5)], ...] = option(min_length=2)
    """Temperatures to choose from; of equally good ones the lowest is taken."""
    problems: int = option(64, ge=1)
    """Dev problems, drawn by seed, the same in every round; all where there are fewer."""
    samples: int = option(8, ge=1, le=1024)
    """Samples of each of them at each temperature."""
    target: int = option(8, ge=1)
    """Distinct correct texts of a problem beyond which more are worth no more (the paper's n*)."""

    @model_validator(mode="after")
    def _candidates_differ(self) -> TemperatureConfig:
        if len(set(self.candidates)) < len(self.candidates):
            raise ValueError(
                f"generate.temperatures.candidates names one twice: {list(self.candidates)}; name each once"
            )
        return self


class GenerateConfig(Section):
    """Model n-1 writes rationales for train problems."""

    source: Literal["model", "gold_solutions", "gold_answers"] = option("model")
    """Who writes. The other two are controls, in which the rest of the round is the same: the gold solutions
    of the drawn problems, or their gold answers alone in the form of `answer_text`, are taken as attempts
    with origin `imported`, graded and trained on. Problems without a solution give none."""
    answer_text: str | None = option(None)
    """How an answer alone is written, `{answer}` replaced (`#### {answer}`): what the grader reads."""
    problems: int | None = option(None, ge=1, triggerable=True)
    """Problems per round, redrawn by seed; None: all."""
    balanced: bool = option(False)
    """Draw equally many problems of each difficulty, as far as they go, instead of in their proportion."""
    samples: int = option(1, ge=1, le=1024, triggerable=True)
    """Samples per problem; with `adaptive` the most of them. The paper uses 1, greedy."""
    adaptive: AdaptiveConfig | None = option(None, later=True)
    """Stop at each problem when enough of its rationales are correct. None: every problem gets `samples`."""
    temperature: float = option(0.0, ge=0, le=5, triggerable=True)
    """0 is greedy, as in the paper; more than one sample needs more than 0."""
    temperatures: TemperatureConfig | None = option(None, later=True)
    """Choose the temperature anew each round, in place of `temperature`. None: do not."""
    top_p: float = option(1.0, gt=0, le=1, triggerable=True)
    """Smallest set of tokens whose probability reaches this; 1 is off."""
    top_k: int = option(0, ge=0, triggerable=True)
    """Most likely tokens to draw from; 0 is off."""
    max_tokens: int = option(256, ge=1, triggerable=True)
    """Longest completion, in tokens. A text that reaches it without a complete answer is cut off."""
    stop: tuple[str, ...] = option(())
    """Strings that end a text, beside the end token."""
    few_shot: Literal["always", "round_1", "never"] = option("always", triggerable=True)
    """When exemplars stand before the question. The paper keeps them in every round's sampling."""
    fuse: bool = option(False, execution=True, triggerable=True)
    """Run generate, rationalize and what verifies them in one process with one start of the engine: attempts
    are graded while it writes, and (vllm) it writes rationalizations of problems known to have failed when
    few samples are left. Each stage keeps its record, and is what it is alone. With several shards a task of
    Airflow fuses generate with what its shard can do ahead; the other stages find it."""

    def few_shot_in(self, round_: int) -> bool:
        """Whether exemplars stand before the question in that round."""
        return self.few_shot == "always" or (self.few_shot == "round_1" and round_ == 1)

    @property
    def least_samples(self) -> int:
        """Attempts that a problem gets where all of them are correct."""
        if self.source != "model":
            return 1
        return self.samples if self.adaptive is None else max(self.adaptive.first, self.adaptive.enough)

    @model_validator(mode="after")
    def _answers_have_a_form(self) -> GenerateConfig:
        if self.source == "gold_answers" and "{answer}" not in (self.answer_text or ""):
            raise ValueError(
                "generate.source is gold_answers: set generate.answer_text to how an answer alone is "
                "written, with {answer} in it, for example '#### {answer}'"
            )
        return self

    @model_validator(mode="after")
    def _samples_differ(self) -> GenerateConfig:
        if self.samples > 1 and self.temperature == 0 and self.temperatures is None:
            raise ValueError(
                f"generate.samples is {self.samples} at temperature 0: all samples of a problem would be "
                "equal; set generate.temperature above 0 or generate.samples to 1"
            )
        return self

    @model_validator(mode="after")
    def _sampling_is_a_models(self) -> GenerateConfig:
        for name in ("adaptive", "temperatures"):
            if self.source != "model" and getattr(self, name) is not None:
                raise ValueError(
                    f"generate.{name} is about a model's sampling, but generate.source is {self.source}: set "
                    f"generate.source to model, or generate.{name} to null"
                )
        return self

    @model_validator(mode="after")
    def _waves_fit_the_samples(self) -> GenerateConfig:
        if self.adaptive is None:
            return self
        most = max(self.adaptive.first, self.adaptive.enough)
        if most > self.samples:
            raise ValueError(
                f"generate.adaptive asks for {most} samples of a problem (first {self.adaptive.first}, "
                f"enough {self.adaptive.enough}), but generate.samples, the most it gets, is {self.samples}: "
                "raise it"
            )
        return self


class VerifyConfig(Section):
    """Graders decide which rationales are correct."""

    grader: GraderConfig = option()
    """The grader whose verdict decides."""
    second_grader: GraderConfig | None = option(None)
    """Grades every attempt too, decides nothing: the share of attempts on which the two differ is reported
    each
    round, and `decide.max_disagreement` can stop the run. Its name must differ from the grader's."""
    workers: int = option(2, execution=True, ge=1)
    """Grading processes."""

    @model_validator(mode="after")
    def _graders_have_names_of_their_own(self) -> VerifyConfig:
        if self.second_grader is not None and self.second_grader.name == self.grader.name:
            raise ValueError(
                f"verify.grader and verify.second_grader are both named {self.grader.name!r}: their verdicts "
                "could not be told apart; set verify.second_grader.name, for example to 'second'"
            )
        return self


class RationalizeConfig(Section):
    """Problems without a kept rationale are shown again with their answer (paper, section 3.3)."""

    enabled: bool = option(True, triggerable=True)
    when: Literal["none_correct", "pass_rate_below"] = option("none_correct")
    """`none_correct`: no generated sample is correct (paper). `pass_rate_below`: their share is below
    `below`."""
    below: float = option(0.5, gt=0, le=1)
    """Pass rate for `pass_rate_below`."""
    share: float = option(1.0, gt=0, le=1, triggerable=True)
    """Share of those problems that are rationalized, drawn by seed."""
    model: Literal["previous", "base"] = option("previous")
    """Who writes: model n-1 as in the paper, or the base."""
    samples: int = option(1, ge=1, le=1024, triggerable=True)
    """Samples per problem."""
    temperature: float = option(0.0, ge=0, le=5, triggerable=True)
    """0 is greedy."""
    top_p: float = option(1.0, gt=0, le=1)
    top_k: int = option(0, ge=0)
    max_tokens: int | None = option(None, ge=1)
    """None: as `generate.max_tokens`."""
    regenerate: bool = option(False)
    """Test every correct rationalized text: without the hint and its last line, does the model finish it with
    the right answer? The sub-score `regenerates` (1 or 0) is recorded, and excludes a row where
    `select.exclude_flagged` names it. A text of one line is not tested."""
    few_shot: bool = option(True)
    """Whether hinted exemplars stand before the question (where there are any)."""

    @model_validator(mode="after")
    def _samples_differ(self) -> RationalizeConfig:
        if self.samples > 1 and self.temperature == 0:
            raise ValueError(
                f"rationalize.samples is {self.samples} at temperature 0: all samples would be equal; "
                "set rationalize.temperature above 0 or rationalize.samples to 1"
            )
        return self


class SelectConfig(Section):
    """Which attempts become training rows. What is left out is recorded with its reason."""

    filter: Literal["verified", "none"] = option("verified", triggerable=True)
    """`verified` keeps what the grader called correct. `none` keeps everything complete: the unfiltered
    control."""
    min_correct: int = option(1, ge=1)
    """Problems with fewer correct generated samples give no generated rows."""
    per_problem: int = option(1, ge=1, triggerable=True)
    """Rows a problem gives at most in one round."""
    choose: Literal["first", "random", "shortest", "highest_logprob", "distinct_equations"] = option("first")
    """Which of several. `distinct_equations` takes one per list of equations, as RFT (arXiv 2308.01825)."""
    duplicates: bool = option(False)
    """Keep texts of one problem that are equal but for case and spaces."""
    cut_off: bool = option(False)
    """Keep texts that hit the token limit before a complete answer."""
    leak_phrases: tuple[str, ...] = option(("the given answer", "the hint", "(CORRECT)", "work backwards"))
    """A rationalized text that contains one (whatever the case) has leaked its hint and is left out."""
    exclude_flagged: tuple[str, ...] = option(())
    """Sub-scores of a `multi` grader (its rationale-quality parts, say), or `regenerates`, that leave out
    a row in which they are 0. Those not named here only mark: their rates are reported every round."""
    max_rationalized_share: float = option(1.0, ge=0, le=1)
    """Rationalized rows are at most this share of the set; the rest is left out at random by seed."""
    reuse_rounds: int | Literal["all"] = option(0)
    """Also train on rows kept in this many earlier rounds. 0 is the paper."""


class LoraConfig(Section):
    """Low-rank adapters (arXiv 2106.09685), merged into the weights unless `merge` is false."""

    r: int = option(16, ge=1)
    alpha: int = option(32, ge=1)
    dropout: float = option(0.0, ge=0, lt=1)
    target_modules: tuple[str, ...] | Literal["all-linear"] = option("all-linear")
    merge: Literal[False] | None = option(None, later=True)
    """false: a checkpoint is the adapter alone. vllm loads the base once and gives each request the adapter
    of its round; transformers merges in memory. The texts differ from those of merged weights by rounding.
    None: the checkpoint is the whole model, merged."""


class TrainVariant(Section):
    """One training of a sweep: what it sets differs from the rest of `train`."""

    learning_rate: float | None = option(None, gt=0)
    epochs: float | None = option(None, gt=0)
    """With `schedule: epochs` only."""

    @model_validator(mode="after")
    def _sets_something(self) -> TrainVariant:
        if self.learning_rate is None and self.epochs is None:
            raise ValueError("a variant of train.variants sets nothing; set learning_rate, epochs or both")
        return self


class ReplayConfig(Section):
    """General data that is mixed into the training rows of every round, so that less of it is forgotten."""

    path: str = option()
    """JSON Lines, relative to `problems.data_dir`: `{prompt, completion}` with loss on the completion, or
    `{text}` with loss on all of it. A plain prompt stands as it is, and its completion right behind; with
    `prompts.chat` it becomes the user's turn."""
    share: float = option(gt=0, lt=1)
    """Of a round's training rows, drawn anew by seed each round; fewer where the file has no more. A row that
    is longer than `max_length`, or repeats a dev, eval or further question, is passed over and counted."""


class TrainConfig(Section):
    """Supervised fine-tuning on the selected rows, loss on the completion and its end token only."""

    start: Literal["base", "previous"] = option("base", triggerable=True)
    """Where each round starts from. The paper restarts from the base to avoid overfitting."""
    schedule: Literal["epochs", "paper", "steps"] = option("epochs")
    """`epochs`: passes over the rows. `paper`: 40 steps in round 1, 20% more each round, constant rate after
    100 warm-up steps at most half the run (paper, appendix H). `steps`: `steps` growing by `growth`."""
    epochs: float = option(2.0, gt=0, triggerable=True)
    """Passes over the rows, for `epochs`."""
    steps: int = option(100, ge=1)
    """Optimizer steps of round 1, for `steps`."""
    growth: float = option(1.2, ge=1)
    """Factor per round on the steps, for `steps`."""
    max_epochs: float = option(50.0, gt=0)
    """More passes over the rows than this are cut down to it, and said."""
    batch_size: int = option(32, ge=1)
    """Rows per optimizer step."""
    micro_batch_size: int | None = option(None, ge=1, execution=True)
    """Rows per forward pass of a process; gradients are accumulated up to `batch_size`. None: all it has."""
    processes: int = option(1, ge=1, execution=True)
    """Processes of a training on one machine, a GPU each, started by `accelerate launch`. `batch_size` stays
    the rows of an optimizer step: each process takes its part of them, so it has to be a multiple."""
    fsdp: Mapping[str, Any] | None = option(None, execution=True)
    """Spread weights, gradients and optimizer over the processes: accelerate's `fsdp_config`, such as
    `{fsdp_version: 2, fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP}`. None: every process holds all."""
    deepspeed: Mapping[str, Any] | None = option(None, execution=True)
    """The same by DeepSpeed, to be installed beside this: accelerate's `deepspeed_config`, for example
    `{zero_stage: 3, zero3_init_flag: false, zero3_save_16bit_model: true}`."""
    length_window: int = option(1, ge=1)
    """Batches that are cut from one draw sorted by length, so that rows of like length share a batch and
    little is padded. 1: every batch is a free draw. On the demo's rows 8 took a third less time and cost 1 to
    9 points of held-out accuracy: batches of one length are less mixed."""
    learning_rate: float = option(1e-5, gt=0, triggerable=True)
    lr_schedule: Literal["constant", "linear", "cosine"] = option("cosine")
    """After warm-up."""
    warmup_ratio: float = option(0.1, ge=0, lt=1)
    """Share of the steps with a rising rate."""
    weight_decay: float = option(0.0, ge=0)
    beta2: float = option(0.999, gt=0, lt=1)
    """Second AdamW beta."""
    max_grad_norm: float = option(1.0, gt=0)
    max_loss_rise: float | None = option(1.0, gt=0, execution=True)
    """A training whose loss stays more nats per token above its start than this, for a fifth of its steps
    (5 to 20) in a row, has diverged: it is stopped, and nothing published. None: only a loss or gradient norm
    that is not finite stops it."""
    variants: tuple[TrainVariant, ...] | None = option(None, min_length=2, later=True)
    """Trainings of one round on the same rows, one after the other, such as `[{learning_rate: 1.0e-5},
    {learning_rate: 3.0e-5}]`. Each is measured on the dev problems, greedily and as `evaluate` says, and the
    best is the round's model; of equals the one with the lower held-out loss, then the first. Without dev
    problems the lowest held-out loss decides. One that diverges is out. What each came to is kept (`star
    reports training_variants`), its weights are not. Eval problems have no say."""
    held_out: float | None = option(None, gt=0, lt=1, later=True)
    """Share of the training set's problems, drawn by `seed`, whose rows are not trained on but measure the
    training: the weights with the lowest loss on them are kept. Their rows are recorded as left out
    (`held_out`). None: all rows are trained on, and the last weights kept."""
    patience: int | None = option(None, ge=1, later=True)
    """Stop after so many measurements of held-out rows in a row without a lower loss. None: never."""
    evaluate_every: int | None = option(None, ge=1, later=True)
    """Steps between measurements of held-out rows; the last step is measured in any case. None: a tenth of
    the steps."""
    max_length: int = option(1024, ge=8)
    """Longest row in tokens; a longer one is left out, never truncated."""
    precision: Literal["auto", "float32", "bfloat16"] = option("auto")
    """`auto`: bfloat16 on a GPU, float32 on a CPU."""
    gradient_checkpointing: bool = option(False, execution=True)
    packing: bool = option(False, execution=True)
    """Lay the rows of a forward pass end to end, without padding, each attending to itself alone: the same
    batches and the same gradient, for a GPU with flash attention (`pip install flash-attn`)."""
    liger: bool = option(False, execution=True)
    """Liger's Triton kernels for norms, rotary embeddings and MLPs, which save GPU memory and time
    (`pip install liger-kernel`)."""
    lora: LoraConfig | None = option(None)
    """None trains all weights."""
    replay: ReplayConfig | None = option(None, later=True)
    """None: the experiment's own rows alone."""
    keep: Literal["best", "last", "all"] = option("all", execution=True)
    """Which checkpoints stay on disk after each round. `last`: the newest, which the next round is written
    with. `best`: the best by dev accuracy too (without dev problems there is none). `all`: every round's.
    Their rows stay in the store in any case."""
    save_every: float | None = option(10.0, gt=0, execution=True)
    """Minutes of training between saved states, from the newest of which a killed training goes on. Two at
    most are on disk, each up to four times the weights in float32, and none after the end. None, or several
    processes: it starts anew."""
    threads: int = option(1, ge=1, execution=True)
    """CPU threads of the training process."""
    report_to: tuple[Literal["tensorboard", "wandb", "mlflow", "trackio"], ...] = option((), execution=True)
    """Trackers that follow the experiment, each by its package, through transformers' own callbacks: a run
    for each round's training, and one for the rounds with the numbers of `rounds_summary`, the round as
    step. They take servers and keys from their own variables (WANDB_API_KEY, MLFLOW_TRACKING_URI). Without
    a server, and with HF_HUB_OFFLINE always, they write below `trackers/` in the experiment's folder. A
    tracker that fails ends nothing: what it lost is told and counted."""
    run_name: str | None = option(None, execution=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    """Name of the run at the trackers; trainings add their round (`-r001`). None: that of the experiment."""

    @model_validator(mode="after")
    def _variants_take_effect(self) -> TrainConfig:
        if self.schedule != "epochs" and any(each.epochs is not None for each in self.variants or ()):
            raise ValueError(
                f"train.variants set epochs, which train.schedule {self.schedule!r} does not read; set "
                "train.schedule to 'epochs', or only learning_rate in the variants"
            )
        return self

    def trainings(self) -> tuple[TrainConfig, ...]:
        """The trainings of a round in their order: its variants, or this one alone."""
        whole = self.model_copy(update={"variants": None})
        return tuple(
            whole.model_copy(update=each.model_dump(exclude_none=True)) for each in self.variants or ()
        ) or (whole,)

    @model_validator(mode="after")
    def _something_is_held_out(self) -> TrainConfig:
        for name in ("patience", "evaluate_every"):
            if self.held_out is None and getattr(self, name) is not None:
                raise ValueError(
                    f"train.{name} is about held-out rows, and there are none; set train.held_out to their "
                    "share, for example 0.1, or leave it out"
                )
        return self

    @model_validator(mode="after")
    def _adapters_stand_on_the_base(self) -> TrainConfig:
        if self.adapter_rank is not None and self.start == "previous":
            raise ValueError(
                "train.lora.merge: false needs train.start: base; one adapter stands on no other"
            )
        return self

    @model_validator(mode="after")
    def _rows_for_every_process(self) -> TrainConfig:
        if self.batch_size % self.processes:
            raise ValueError(
                f"train.batch_size is {self.batch_size}, train.processes {self.processes}: expected a "
                "multiple, so that each process takes as many rows of a step"
            )
        if self.fsdp is not None and self.deepspeed is not None:
            raise ValueError("train.fsdp and train.deepspeed exclude each other; set one of them to null")
        if self.launched and self.held_out is not None:
            raise ValueError(
                "train.held_out is measured by one process: set it to null, or train.processes to 1 and "
                "train.fsdp and train.deepspeed to null"
            )
        return self

    @property
    def launched(self) -> bool:
        """Whether `accelerate launch` starts the training."""
        return self.processes > 1 or self.fsdp is not None or self.deepspeed is not None

    @property
    def adapter_rank(self) -> int | None:
        """Rank of the adapters that are a round's checkpoint; None where checkpoints are whole models."""
        return self.lora.r if self.lora is not None and self.lora.merge is False else None


class PassAtK(Section):
    """Sampled evaluation beside the greedy one, for unbiased pass@k (arXiv 2107.03374) and maj@k."""

    samples: int = option(8, ge=2)
    temperature: float = option(0.7, gt=0)
    top_p: float = option(1.0, gt=0, le=1)
    top_k: int = option(0, ge=0)


class FurtherSet(Section):
    """Problems of another task, with prompt and grader of their own."""

    path: str = option()
    """JSON Lines, relative to `problems.data_dir`."""
    fields: FieldMap = option(default_factory=FieldMap)
    """Field mapping, as that of a source."""
    limit: int | None = option(None, ge=1)
    """Problems that are read in, drawn by the experiment's seed; None: all."""
    question: str | None = option(None)
    """How a question is laid out. None: as `prompts.question`."""
    choice: str | None = option(None)
    """One line of `{choices}`. None: as `prompts.choice`."""
    few_shot: tuple[ExemplarConfig, ...] = option(())
    """Exemplars before each question. None of them: zero-shot, whatever the experiment's own style."""
    answer_line: str | None = option(None)
    """None: as `prompts.answer_line`."""
    stop: tuple[str, ...] | None = option(None)
    """None: as `generate.stop`."""
    max_tokens: int | None = option(None, ge=1)
    """None: as `evaluate.max_tokens`, and where that is None as `generate.max_tokens`."""
    grader: GraderConfig | None = option(None)
    """None: as `verify.grader`."""


SetName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,30}$")]


class EvaluateConfig(Section):
    """Accuracy of every round on problems it never trains on; greedy, one prompt for every round."""

    splits: tuple[TaskSplit, ...] = option((Split.DEV, Split.EVAL))
    """Splits measured, those without problems left out."""
    limit: int | None = option(None, ge=1)
    """Problems per split, drawn by seed; None: all."""
    style: Literal[PromptStyle.ZERO_SHOT, PromptStyle.FEW_SHOT] = option(PromptStyle.ZERO_SHOT)
    """The evaluation prompt of every round. Round 0 is measured in both styles where there are exemplars, and
    gains are quoted against the better."""
    max_tokens: int | None = option(None, ge=1)
    """None: as `generate.max_tokens`."""
    pass_at_k: PassAtK | None = option(None)
    """None: greedy only."""
    confidence: float = option(0.95, gt=0.5, lt=1)
    """Of the intervals (Wilson)."""
    further: dict[SetName, FurtherSet] | None = option(None, later=True)
    """Named sets of other tasks, measured greedily every round, round 0 included, to see what is forgotten
    and what carries over. They are reported, as split `further:NAME` of `evaluations`, and decide nothing.
    Train problems that repeat one of their questions are left out, as those that repeat an eval question."""


class DecideConfig(Section):
    """When the loop ends before its rounds are up."""

    patience: int | None = option(None, ge=1)
    """Stop when the best dev accuracy has not risen by `min_gain` for this many rounds; None: never."""
    min_gain: float = option(0.0, ge=0, le=1)
    """Smallest rise of dev accuracy that counts."""
    max_cut_off: float = option(1.0, gt=0, le=1)
    """Gate: stop when more than this share of a round's attempts, rationalized ones included, is cut off."""
    max_ungraded: float = option(1.0, gt=0, le=1)
    """Gate: stop when more than this share of attempts is ungraded."""
    max_disagreement: float = option(1.0, gt=0, le=1)
    """Gate: stop when `verify.second_grader` differs from the grader on more than this share of attempts."""


class ExperimentConfig(Section):
    """All of an experiment. `star config CONFIG` prints it resolved, with where each value came from."""

    description: str = option("", execution=True)
    """One sentence for people."""
    experiment: str | None = option(None, execution=True, pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    """Name of the experiment. None: the name of the config file."""
    seed: int = option(0, ge=0, triggerable=True)
    """Seed of everything drawn."""
    rounds: int = option(3, ge=0, le=1000, execution=True, triggerable=True)
    """Rounds after round 0."""
    shards: int = option(1, ge=1, le=4096, execution=True, triggerable=True)
    """Parts that the sharded stages are split into."""
    model: ModelConfig = option()
    problems: ProblemsConfig = option()
    prompts: PromptsConfig = option(default_factory=PromptsConfig)
    engine: EngineConfig = option(default_factory=EngineConfig)
    generate: GenerateConfig = option(default_factory=GenerateConfig)
    verify: VerifyConfig = option()
    rationalize: RationalizeConfig = option(default_factory=RationalizeConfig)
    select: SelectConfig = option(default_factory=SelectConfig)
    train: TrainConfig = option(default_factory=TrainConfig)
    evaluate: EvaluateConfig = option(default_factory=EvaluateConfig)
    decide: DecideConfig = option(default_factory=DecideConfig)

    @model_validator(mode="after")
    def _prompts_reach_the_server(self) -> ExperimentConfig:
        endpoint = self.engine.endpoint
        if endpoint is not None and endpoint.api != "tokens" and self.prompts.chat:
            raise ConfigError(
                f"prompts.chat renders special tokens, which engine.endpoint.api {endpoint.api!r} would send "
                "as text; set prompts.chat: false, or engine.endpoint.api: tokens"
            )
        if endpoint is not None and self.train.adapter_rank is not None:
            raise ConfigError(
                "train.lora.merge is false, but engine.kind openai serves whole models; leave merge out, or "
                "set engine.kind: vllm (or transformers)"
            )
        self.check_rounds(self.rounds)
        return self

    @model_validator(mode="after")
    def _enough_gives_rows(self) -> ExperimentConfig:
        adaptive, least = self.generate.adaptive, self.select.min_correct
        if adaptive is not None and adaptive.enough < least:
            raise ConfigError(
                f"generate.adaptive.enough is {adaptive.enough}, but select.min_correct leaves out problems "
                f"with fewer than {least} correct rationales: sampling would stop before any is kept; raise "
                "generate.adaptive.enough"
            )
        return self

    @model_validator(mode="after")
    def _one_grader_decides_early(self) -> ExperimentConfig:
        own = [name for name, source in self.problems.sources.items() if source.grader is not None]
        early = {
            "generate.adaptive": self.generate.adaptive,
            "generate.temperatures": self.generate.temperatures,
            "train.variants": self.train.variants,
        }
        for name, value in early.items():
            if own and value:
                raise ConfigError(
                    f"{name} goes by verify.grader alone, but problems.sources.{own[0]}.grader decides for "
                    f"that source; set {name} to null, or let verify.grader decide for all sources"
                )
        return self

    @model_validator(mode="after")
    def _shares_are_of_something(self) -> ExperimentConfig:
        shares = {name: one.share for name, one in self.problems.sources.items() if one.share is not None}
        for name in shares:
            split = getattr(self.problems.sources[name], "split", Split.TRAIN)
            if split is not Split.TRAIN:
                raise ConfigError(
                    f"problems.sources.{name}.share is {shares[name]}, but its split is {split}: a share is "
                    "of the train problems that a round draws; set it to null"
                )
        if shares and self.generate.problems is None:
            first = min(shares)
            raise ConfigError(
                f"problems.sources.{first}.share is {shares[first]}, but generate.problems is null, so every "
                "round takes all problems; set generate.problems to how many a round draws"
            )
        if sum(shares.values()) > 1 + 1e-9:
            raise ConfigError(
                "the shares of problems.sources "
                f"({', '.join(f'{name} {share}' for name, share in shares.items())}) "
                f"sum to {sum(shares.values()):g}; expected at most 1"
            )
        return self

    def check_rounds(self, rounds: int) -> None:
        """ConfigError where rounds are asked for whose model nobody could train or serve."""
        if rounds > 0 and self.engine.foreign_hash is not None:
            raise ConfigError(
                f"rounds is {rounds}, but engine.endpoint.url names a server whose model stays the same: "
                "training starts from weights, and what it makes has to be served. Set rounds: 0 to measure "
                "that model, or engine.endpoint.serve: true with the weights in model.base"
            )


IDENTITY = (
    "seed",
    "model",
    "problems",
    "prompts",
    "engine",
    "generate",
    "verify",
    "rationalize",
    "select",
    "train",
    "evaluate",
    "decide",
)
"""The parts of a config that make an experiment what it is; the rest are execution settings."""
