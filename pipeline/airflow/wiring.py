"""Makes tasks of `pipeline/rounds.py` by the site's settings; the files in `dags/` only call this."""

from __future__ import annotations

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
from pipeline.rounds import STAGES, Stage


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
        chain(
            launch,
            *_stages(site.config.airflow, experiment, "0"),
            _next(site.config.airflow, experiment, redo=True),
        )
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
        chain(*_stages(site, experiment, "{{ params.round }}"), _next(site, experiment, redo=False))
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


def _stages(site: AirflowSite, experiment: str, round_: str) -> list[Any]:
    """The tasks of a round in order; the sharded ones are mapped over what prepare returns."""
    zero = round_ == "0"
    tasks: list[Any] = []
    for stage in STAGES:
        if stage.rounds != "every" and (stage.rounds == "zero") != zero:
            continue
        gpu = stage.gpu or (stage.grades and site.judge_on_gpu)
        arguments = {
            "task_id": stage.name,
            "stage": stage.name,
            "experiment": experiment,
            "round_": round_,
            "optional": stage.only_if is not None,
            "doc_md": _documentation(stage),
            **_placed(site, site.gpu if gpu else site.cpu),
            "executor_config": executor_config(site, gpu=gpu),
        }
        if stage.sharded:
            mapped = StageOperator.partial(map_index_template="shard {{ task.shard }}", **arguments)
            tasks.append(mapped.expand(shard=tasks[0].output))
        else:
            tasks.append(StageOperator(**arguments))
    return tasks


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
