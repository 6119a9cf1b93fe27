"""Airflow's public REST API, as far as the demo and the tests need it."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from typing import Any

_TIMEOUT_S = 30.0
# Ours runs on this machine: a proxy that the environment names has no part in it.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ApiError(Exception):
    """Airflow refused a request; `status` is the HTTP status, the message what it said."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"Airflow answered {status}: {message}")
        self.status = status


@dataclass(slots=True)
class Api:
    """A log-in to the API server at `url`."""

    url: str
    user: str
    password: str
    _token: str | None = field(default=None, repr=False)

    def is_ready(self) -> bool:
        """Whether the API server answers, and scheduler and DAG processor are alive."""
        try:
            health = self._send("GET", "/api/v2/monitor/health", None, {})
        except (ApiError, OSError):
            return False
        parts = (health["metadatabase"], health["scheduler"], health["dag_processor"])
        return all(part["status"] == "healthy" for part in parts)

    def wait_until_ready(self, patience_s: float) -> bool:
        """Whether it got ready within `patience_s` seconds."""
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if self.is_ready():
                return True
            time.sleep(1)
        return False

    def trigger(self, dag_id: str, conf: dict[str, Any], run_id: str | None = None) -> dict[str, Any]:
        """Make a run; ApiError 400 where `conf` does not fit the Params."""
        body = {"logical_date": None, "conf": conf, **({"dag_run_id": run_id} if run_id else {})}
        made: dict[str, Any] = self.call("POST", f"/dags/{dag_id}/dagRuns", body)
        return made

    def run(self, dag_id: str, run_id: str) -> dict[str, Any] | None:
        """A run, None where there is none."""
        try:
            found: dict[str, Any] = self.call("GET", f"/dags/{dag_id}/dagRuns/{urllib.parse.quote(run_id)}")
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return found

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """Runs of a DAG, newest first, at most 100."""
        found = self.call("GET", f"/dags/{dag_id}/dagRuns?limit=100&order_by=-run_after")
        return list(found["dag_runs"])

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Task instances of a run, mapped ones each."""
        run = urllib.parse.quote(run_id)
        found = self.call("GET", f"/dags/{dag_id}/dagRuns/{run}/taskInstances?limit=1000")
        return list(found["task_instances"])

    def log(self, task: dict[str, Any]) -> list[str]:
        """What the operator of a task instance, one of `tasks`, has logged in its newest try."""
        run = urllib.parse.quote(task["dag_run_id"])
        found = self.call(
            "GET",
            f"/dags/{task['dag_id']}/dagRuns/{run}/taskInstances/{task['task_id']}/logs/"
            f"{task['try_number']}?full_content=true&map_index={task['map_index']}",
        )
        events = found["content"]
        return [event["event"] for event in events if "task.operators" in (event.get("logger") or "")]

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Any request below /api/v2, logged in."""
        if self._token is None:
            login = {"username": self.user, "password": self.password}
            self._token = self._send("POST", "/auth/token", login, {})["access_token"]
        try:
            return self._send(method, f"/api/v2{path}", body, {"Authorization": f"Bearer {self._token}"})
        except ApiError as error:
            if error.status == 401:
                self._token = None  # it expired: the next call logs in again
            raise

    def _send(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data, {"Content-Type": "application/json", **headers}, method=method
        )
        try:
            with _OPENER.open(request, timeout=_TIMEOUT_S) as response:
                return json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            raise ApiError(error.code, error.read().decode(errors="replace")[:2000]) from None
