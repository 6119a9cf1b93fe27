"""A run's note says in one line what came of the round. A listener: it runs in the scheduler, as runs end.

Tasks cannot write notes (the task API has no such call) and would need a password for the public one. The
scheduler's own session is used throughout: it holds locks that a commit of another would break.
"""

from __future__ import annotations

from typing import Any

from airflow.listeners import hookimpl
from sqlalchemy import select
from sqlalchemy.orm import object_session

from pipeline.airflow import LAUNCHER, ROUNDS
from pipeline.hostile import clean

_OURS = ("round ", "failed at ")


@hookimpl  # type: ignore[untyped-decorator, unused-ignore]
def on_dag_run_success(dag_run: Any, msg: str) -> None:
    """Note what the round came to, and which later rounds are stale."""
    if dag_run.dag_id in (LAUNCHER, ROUNDS):
        stale = _told(dag_run, "next_round", "note")
        sentence = _told(dag_run, "decide", "sentence")
        _note(dag_run, "; ".join(part for part in (sentence, stale) if part))
        _note_task(dag_run, "next_round", stale)


@hookimpl  # type: ignore[untyped-decorator, unused-ignore]
def on_dag_run_failed(dag_run: Any, msg: str) -> None:
    """Note which tasks failed."""
    if dag_run.dag_id in (LAUNCHER, ROUNDS):
        tasks = dag_run.get_task_instances(state=["failed"], session=object_session(dag_run))
        failed = sorted({task.task_id for task in tasks})
        _note(dag_run, f"failed at {', '.join(failed)}" if failed else None)


def _told(dag_run: Any, task_id: str, key: str) -> str | None:
    """What a task of the run pushed under `key`."""
    from airflow.models.xcom import XComModel

    session: Any = object_session(dag_run)
    found = session.scalar(
        select(XComModel).where(
            XComModel.dag_id == dag_run.dag_id,
            XComModel.run_id == dag_run.run_id,
            XComModel.task_id == task_id,
            XComModel.key == key,
        )
    )
    return None if found is None else str(XComModel.deserialize_value(found))


def _note(noted: Any, text: str | None) -> None:
    """Set the note of a run or task, unless a person wrote one."""
    if text and (not noted.note or noted.note.startswith((*_OURS, "stale: "))):
        noted.note = clean(text)[:1000]


def _note_task(dag_run: Any, task_id: str, text: str | None) -> None:
    task = dag_run.get_task_instance(task_id, session=object_session(dag_run)) if text else None
    if task is not None:
        _note(task, text)
