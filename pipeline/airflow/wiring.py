"""Makes tasks of `pipeline/rounds.py` by the site's settings; the files in `dags/` only call this."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Asset, CronTriggerTimetable, Param, chain
from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from pipeline.airflow import LAUNCHER, ROUNDS
from pipeline.airflow.callbacks import record_failure, report_late_round
from pipeline.airflow.form import config_files, trigger_form
from pipeline.airflow.kubernetes import executor_config
from pipeline.airflow.operators import LaunchOperator, NextRoundOperator, StageOperator
from pipeline.config.site import AirflowSite, LoadedSite, PlaceSite, load_site
from pipeline.paths import EXPERIMENT_NAME
from pipeline.rounds import STAGES, WRITE, Stage


def launcher_dag(file: str, doc: str | None) -> DAG:
    """The launcher: names an experiment, prepares and measures round 0, triggers round 1."""
    site = load_site()
    configs = config_files(Path(file).resolve().parent, site)
    with _dag(LAUNCHER, doc, site.config.airflow, schedule=_schedule(site)) as dag:
        dag.params.update(trigger_form(list(configs), site))
        launch = LaunchOperator(
            task_id="launch",
            configs={name: str(path) for name, path in configs.items()},
            doc_md=LaunchOperator.__doc__,
            **_placed(site.config.airflow, site.config.airflow.cpu),
        )
        experiment = "{{ ti.xcom_pull(task_ids='launch')['experiment'] }}"
        stages = _stages(site.config.airflow, experiment, "0")
        chain(launch, *stages.values(), _next(site.config.airflow, experiment, redo=True))
    return dag


def round_dag(doc: str | None) -> DAG:
    """A round: its stages in order, then the next round."""
    site = load_site().config.airflow
    with _dag(ROUNDS, doc, site, deadline=_deadline(site)) as dag:
        dag.params.update(
            {
                "experiment": Param(type="string", pattern=EXPERIMENT_NAME.pattern, title="Experiment"),
                "round": Param(type="integer", minimum=1, title="Round"),
            }
        )
        experiment = "{{ params.experiment }}"
        stages = _stages(site, experiment, "{{ params.round }}")
        chain(*stages.values(), _next(site, experiment, redo=False))
        _fuse(site, experiment, stages)
    return dag


def _dag(dag_id: str, doc: str | None, site: AirflowSite, **further: Any) -> DAG:
    return DAG(
        dag_id,
        doc_md=doc,
        tags=list(site.tags),
        default_args={"owner": site.owner},
        catchup=False,
        is_paused_upon_creation=False,
        **{"schedule": None, **further},
    )


def _stages(site: AirflowSite, experiment: str, round_: str) -> dict[str, Any]:
    """The tasks of a round in order; the sharded ones are mapped over what prepare returns."""
    zero = round_ == "0"
    tasks: dict[str, Any] = {}
    for stage in STAGES:
        if stage.rounds != "every" and (stage.rounds == "zero") != zero:
            continue
        arguments = {
            **_of_stage(site, stage.name, gpu=stage.gpu or (stage.grades and site.judge_on_gpu)),
            "experiment": experiment,
            "round_": round_,
            "optional": stage.name in _OPTIONAL,
            "doc_md": _documentation(stage),
        }
        if stage.sharded:
            tasks[stage.name] = _mapped(arguments, tasks["prepare"])
        else:
            skips = () if zero or stage.name != "prepare" else _OPTIONAL
            tasks[stage.name] = StageOperator(skips=skips, **arguments)
    return tasks


def _fuse(site: AirflowSite, experiment: str, stages: Mapping[str, Any]) -> None:
    """Beside the stages that one process may run, the task that does so: prepare skips what the config does
    not ask for, so that no skipped task is started."""
    write = _mapped(
        {
            **_of_stage(site, WRITE.name, gpu=True),
            "experiment": experiment,
            "round_": "{{ params.round }}",
            "optional": True,
            "doc_md": _documentation_of_write(),
        },
        stages["prepare"],
    )
    first, second, *_ = WRITE.stages
    order = list(stages)
    before, after = order[order.index(first) - 1], order[order.index(WRITE.stages[-1]) + 1]
    stages[before] >> write
    write >> [stages[second], stages[after]]
    # What only some configs ask for is skipped before its turn, so what follows must not wait for that alone.
    in_any_config = [stage.name for stage in STAGES if stage.name in WRITE.stages and stage.only_if is None]
    stages[in_any_config[-1]] >> stages[after]


_OPTIONAL = (WRITE.name, *(s.name for s in STAGES if s.name in WRITE.stages or s.only_if is not None))
"""Tasks that prepare may find to be no part of a round."""


def _mapped(arguments: Mapping[str, Any], prepare: StageOperator) -> Any:
    """A task for each shard."""
    mapped = StageOperator.partial(map_index_template="shard {{ task.shard }}", **arguments)
    return mapped.expand(shard=prepare.output)


def _of_stage(site: AirflowSite, name: str, *, gpu: bool) -> dict[str, Any]:
    return {
        "task_id": name,
        "stage": name,
        **_placed(site, site.gpu if gpu else site.cpu),
        "executor_config": executor_config(site, gpu=gpu),
    }


def _next(site: AirflowSite, experiment: str, *, redo: bool) -> NextRoundOperator:
    return NextRoundOperator(
        task_id="next_round",
        experiment=experiment,
        redo=redo,
        doc_md=NextRoundOperator.__doc__,
        **{key: value for key, value in _placed(site, site.cpu).items() if key not in ("grace_s", "devices")},
    )


def _placed(site: AirflowSite, place: PlaceSite) -> dict[str, Any]:
    """What the site says of a task: where it runs, how long, and how often it is tried."""
    return {
        "pool": place.pool,
        "queue": place.queue,
        "priority_weight": place.priority,
        "execution_timeout": timedelta(hours=place.timeout_hours),
        "retries": site.retries,
        "retry_delay": timedelta(seconds=site.retry_delay_s),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(seconds=site.retry_delay_max_s),
        "grace_s": site.grace_s,
        "devices": place.devices,
        "trigger_rule": "none_failed",
        "on_failure_callback": record_failure,
        "on_retry_callback": record_failure,
    }


def _schedule(site: LoadedSite) -> Any:
    schedule = site.config.airflow.schedule
    if schedule.cron is not None:
        return CronTriggerTimetable(schedule.cron, timezone=schedule.timezone)
    return None if schedule.asset is None else [Asset(schedule.asset)]


def _deadline(site: AirflowSite) -> DeadlineAlert | None:
    if site.deadline_hours is None:
        return None
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(hours=site.deadline_hours),
        callback=SyncCallback(report_late_round),
    )


def _documentation(stage: Stage) -> str:
    """For the task's page: what it stands on, and where it runs."""
    inputs = ", ".join(f"`{name}`" for name in stage.inputs) or "nothing in its round"
    model = {"none": "no model", "previous": "model n-1", "current": "model n"}[stage.model]
    parts = "in shards" if stage.sharded else "in one piece"
    return f"stands on {inputs}, reads {model}, runs {parts}. Code: `{stage.module}`."


def _documentation_of_write() -> str:
    stages = ", ".join(f"`{name}`" for name in WRITE.stages)
    return (
        f"in place of {stages} where `{WRITE.only_if}` is set: one process, one start of the engine, and a "
        "record for each of them. One shard of several runs the first, and does the rest ahead."
    )
