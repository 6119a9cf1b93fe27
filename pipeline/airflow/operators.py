"""The three kinds of task: name an experiment, run a stage of a round, trigger the next round."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    DagRunTriggerException,
    DownstreamTasksSkipped,
)

from pipeline.airflow import ROUNDS, run_id_of
from pipeline.airflow.child import ChildOutcome, run_star
from pipeline.airflow.devices import free_devices
from pipeline.airflow.form import launch_arguments
from pipeline.airflow.links import ReportLink, RoundRunLink, RowsLink
from pipeline.counted import counted
from pipeline.paths import Home, validate_experiment

FINAL_EXIT_CODES = {
    2: "wrong options",
    64: "a bad config",
    65: "bad data",
    66: "something earlier is missing",
    70: "a broken invariant",
    77: "a training that diverges",
}
"""Exit codes of `star` that no second try changes."""
LEASE_HELD = 75


class StarOperator(BaseOperator):  # type: ignore[misc, unused-ignore]
    """Runs a `star` command as a child of the task and turns its exit code into Airflow's terms."""

    def __init__(self, *, grace_s: float = 4.0, devices: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.grace_s = grace_s
        self.devices = list(devices)
        self._running = False

    def star(self, *arguments: str, prefer: int = 0) -> ChildOutcome:
        """Run `star ARGUMENTS` to its end. AirflowFailException where a second try cannot help.

        Where the site names devices, on one that is free, looked for from number `prefer` on.
        """
        self._running = True
        try:
            with free_devices(
                Home.from_environment(), self.devices, first=prefer, say=self.log.info
            ) as devices:
                outcome = run_star(
                    arguments,
                    say=lambda line: self.log.info("%s", line),
                    grace_s=self.grace_s,
                    devices=devices,
                )
        finally:
            self._running = False
        if outcome.exit_code != 0:
            raise _failure(outcome, arguments)
        return outcome

    def on_kill(self) -> None:
        """Airflow wants the task ended: leave what we wait for, which ends the child's whole tree."""
        if self._running:
            self._running = False
            raise AirflowException("the task was stopped; its processes were ended")


def _failure(outcome: ChildOutcome, arguments: Sequence[str]) -> Any:
    command = " ".join(["star", *arguments[:3]])
    said = outcome.last_lines.strip().splitlines()[-1:] or ["it said nothing"]
    code = outcome.exit_code
    if code in FINAL_EXIT_CODES:
        return AirflowFailException(
            f"{command} left with exit code {code} ({FINAL_EXIT_CODES[code]}; not tried again): {said[0]}"
        )
    if code == LEASE_HELD:
        return AirflowException(f"{command}: someone else is running this, to be tried again: {said[0]}")
    ended = f"was ended by signal {-code}" if code < 0 else f"left with exit code {code}"
    return AirflowException(f"{command} {ended}: {said[0]}")


class LaunchOperator(StarOperator):
    """Names the experiment and writes down the config that its tasks go by (`star launch`)."""

    def __init__(self, *, configs: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.configs = dict(configs)

    def execute(self, context: Any) -> dict[str, Any]:
        run = context["dag_run"]
        arguments = launch_arguments(dict(context["params"]), self.configs, run.run_after)
        launched = self.star("launch", *arguments, "--json").document
        if launched.get("nothing_new"):
            self.log.info("%s", launched["nothing_new"])
            raise DownstreamTasksSkipped(tasks=sorted(context["task"].get_flat_relative_ids(upstream=False)))
        self.log.info(
            "experiment %s: %s, %s",
            launched["experiment"],
            counted(launched["rounds"], "round"),
            counted(launched["shards"], "shard"),
        )
        return launched


class StageOperator(StarOperator):
    """One stage of one round, or one shard of it, or several stages in one process (`write`).

    Skipped where the stage is done with today's inputs or is not part of the round. `prepare` is never
    skipped: it returns the shards that the mapped stages are expanded over, as `0/4`, `1/4`, ..., and skips
    those of `skips` that are no part of the round before they start.
    """

    template_fields: Sequence[str] = ("experiment", "round_")
    operator_extra_links = (ReportLink(), RowsLink())
    ui_color: ClassVar[str] = "#eef4fb"

    def __init__(
        self,
        *,
        stage: str,
        experiment: str,
        round_: str,
        shard: str = "",
        optional: bool = False,
        skips: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.stage = stage
        self.experiment = experiment
        self.round_ = round_
        self.shard = shard
        self.optional = optional
        self.skips = tuple(skips)

    def execute(self, context: Any) -> Any:
        ti = context["ti"]
        if self.optional and self.stage not in ti.xcom_pull(task_ids="prepare", key="stages"):
            raise AirflowSkipException(f"{self.stage} is no part of this round's config")
        told = self.star(*self.arguments(), "--json", prefer=self._shard_index()).document
        if self.stage == "prepare":
            ti.xcom_push(key="stages", value=told["stages"])
            _skip([name for name in self.skips if name not in told["stages"]])
            return [f"{shard}/{told['shards']}" for shard in range(told["shards"])]
        if self.stage == "decide":
            ti.xcom_push(key="following", value=told["next"])
            ti.xcom_push(key="sentence", value=told["sentence"])
            self.log.info("%s", told["sentence"])
        if set(told["outcomes"]) == {"was done"}:
            raise AirflowSkipException(f"{self.stage} was done with today's inputs")
        return None

    def _shard_index(self) -> int:
        return int(self.shard.partition("/")[0]) if self.shard else 0

    def arguments(self) -> list[str]:
        """`star stage ...` of this task."""
        name = validate_experiment(str(self.experiment))
        config = Home.from_environment().launched_config(name)
        arguments = ["stage", self.stage, name, "--round", str(int(self.round_))]
        if self.shard:
            if not re.fullmatch(r"\d+/\d+", self.shard):
                raise AirflowFailException(f"shard {self.shard!r} is not of the form I/N")
            arguments += ["--shard", self.shard]
        if config.is_file():  # none where `star run` made the experiment and nobody launched it here
            arguments += ["--config", str(config)]
        return arguments


def _skip(task_ids: list[str]) -> None:
    """Have tasks of this run skipped, as DownstreamTasksSkipped would, which leaves no value to map over."""
    if task_ids:
        from airflow.sdk.execution_time.comms import SkipDownstreamTasks
        from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

        SUPERVISOR_COMMS.send(SkipDownstreamTasks(tasks=task_ids))


class NextRoundOperator(BaseOperator):  # type: ignore[misc, unused-ignore]
    """Triggers the run of the next round that is not done with today's inputs, if the loop goes on.

    A run that exists is left alone, and said to be stale where it is, unless `redo` or the launcher was asked
    to go on since that round was finished: then it is cleared, and does again only what changed.
    """

    template_fields: Sequence[str] = ("experiment",)
    operator_extra_links = (RoundRunLink(),)
    ui_color: ClassVar[str] = "#eaf6ec"

    def __init__(self, *, experiment: str, redo: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.experiment = experiment
        self.redo = redo
        self.triggered: str | None = None

    def execute(self, context: Any) -> None:
        ti = context["ti"]
        following = ti.xcom_pull(task_ids="decide", key="following")
        redo = self.redo or following["redo"]
        if following["stale"] and not redo:
            ti.xcom_push(key="note", value=self._stale(following["stale"]))
        round_ = following["round"]
        if round_ is None:
            raise AirflowSkipException("no further round: the decision was to stop, or all rounds are done")
        run_id = run_id_of(self.experiment, round_)
        exists = ti.get_dr_count(dag_id=ROUNDS, run_ids=[run_id]) > 0
        if exists and ti.get_dagrun_state(ROUNDS, run_id) in ("queued", "running"):
            raise AirflowSkipException(f"{run_id} is being run")
        if exists and not redo:
            raise AirflowSkipException(f"{run_id} exists and is left as it is")
        if ti.get_dag(ROUNDS).is_paused:
            raise AirflowFailException(f"DAG {ROUNDS} is paused: unpause it and clear this task")
        self.triggered = run_id
        raise DagRunTriggerException(
            trigger_dag_id=ROUNDS,
            dag_run_id=run_id,
            conf={"experiment": self.experiment, "round": round_},
            logical_date=None,
            reset_dag_run=exists,
            skip_when_already_exists=True,
            wait_for_completion=False,
            allowed_states=["success"],
            failed_states=["failed"],
            poke_interval=60,
            deferrable=False,
        )

    def _stale(self, stale: Sequence[int]) -> str:
        rounds = ", ".join(str(round_) for round_ in stale)
        return (
            f"stale: round {rounds} of {self.experiment} stands on other inputs than today's; "
            f"to go on from there trigger the launcher with experiment {self.experiment}"
        )
