"""Worker processes that can be killed: whatever is graded, the caller goes on.

SymPy on hostile input can hold the interpreter lock for ever (a big-integer power inside GMP cannot be
interrupted), so neither threads nor alarms are enough. Each worker is `python -m pipeline.graders.worker`, in
a session of its own, with an allow-listed environment and a limited address space. It is given chunks of
jobs and answers each by itself; it says when it starts on one, and only then does the clock of that job
run. A worker that crashes or overruns costs the job it was at: the rest of its chunk is queued again.

Processes are started by `subprocess`, not forked: callers hold threads (DuckDB, torch), and Airflow tasks are
daemonic and may not have multiprocessing children.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import psutil

from pipeline.errors import StarError
from pipeline.graders.protocol import Job
from pipeline.records import Outcome, Verdict

CHUNK = 16
GRACE_S = 0.5
"""Processor seconds between a job's soft limit, which the worker applies itself, and the kill."""
START_LIMIT_S = 120.0
"""Seconds a worker may take to start; a cold disk makes the import of SymPy slow."""
FAILED_STARTS = 3
TRIES = 3
"""How often a job is handed to a worker that dies before it starts on it."""
_LOOK_AGAIN_S = 0.1
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "LD_LIBRARY_PATH", "SYSTEMROOT")


class Ticket:
    """A job on its way through the pool; `verdict` is set when it is done."""

    __slots__ = ("handed_out", "job", "verdict")

    def __init__(self, job: Job) -> None:
        self.job = job
        self.handed_out = 0
        self.verdict: Verdict | None = None


class _Worker:
    """One process and what it is working on."""

    def __init__(self, environment: Mapping[str, str], hello: bytes) -> None:
        self.errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "pipeline.graders.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env=dict(environment),
            start_new_session=True,
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.stdin: IO[bytes] = self.process.stdin
        self.stdout: IO[bytes] = self.process.stdout
        os.set_blocking(self.stdout.fileno(), False)
        self.buffer = b""
        self.ready = False
        self.started = 0.0
        self.cpu_before = 0.0
        self.born = time.monotonic()
        self.waiting: deque[Ticket] = deque()
        self.current: Ticket | None = None
        self.deadline = self.born + START_LIMIT_S
        self.tell(hello)

    def tell(self, line: bytes) -> None:
        """Send one line; a worker that is gone is noticed when its output ends."""
        with contextlib.suppress(BrokenPipeError):
            self.stdin.write(line)
            self.stdin.flush()

    @property
    def idle(self) -> bool:
        return self.ready and self.current is None and not self.waiting

    def seconds_left(self, now: float) -> float:
        """How long the current job may still run: until its processor time or its wall time is up."""
        if self.current is None:
            return 0.0
        job = self.current.job
        wall = self.started + (job.wall_s or 10 * job.limit_s) - now
        try:
            spent = psutil.Process(self.process.pid).cpu_times()
        except psutil.Error:
            return 0.0
        return min(wall, job.limit_s + GRACE_S - (spent.user + spent.system - self.cpu_before))

    def stop(self) -> None:
        """Kill the process and what it started, and reap it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(BrokenPipeError):
            self.stdin.close()
        self.stdout.close()

    def last_words(self) -> str:
        """The end of what it wrote to stderr."""
        self.errors.seek(0, os.SEEK_END)
        self.errors.seek(max(0, self.errors.tell() - 2000))
        return self.errors.read().decode("utf-8", "replace").strip()


class Pool:
    """Workers for one grader. Started when there is work; `close` leaves no process behind."""

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        workers: int,
        memory_mb: int,
        backlog: int,
        environment: tuple[str, ...] = (),
    ) -> None:
        self._size = workers
        self._backlog = backlog
        self._hello = json.dumps({"config": config, "memory_mb": memory_mb}).encode() + b"\n"
        self._environment = _environment(environment)
        self._queue: deque[Ticket] = deque()
        self._workers: list[_Worker] = []
        self._selector = selectors.DefaultSelector()
        self._failed_starts = 0

    def tell_workers(self, variables: Mapping[str, str]) -> None:
        """Environment variables for the workers that are started from now on."""
        self._environment.update(variables)

    @property
    def processes(self) -> list[int]:
        """Process ids of the living workers."""
        return [worker.process.pid for worker in self._workers]

    @property
    def busy(self) -> bool:
        """Whether anything is queued or being worked on."""
        return bool(self._queue) or any(worker.waiting or worker.current for worker in self._workers)

    def submit(self, job: Job) -> Ticket:
        """Queue a job. Its ticket is filled during later calls of `poll`."""
        ticket = Ticket(job)
        self._queue.append(ticket)
        self._hand_out()
        return ticket

    def poll(self, timeout_s: float) -> None:
        """Read answers, waiting at most `timeout_s` for the first; end what overran; hand out work."""
        events = self._selector.select(self._patience(timeout_s))
        for key, _ in events:
            self._read(key.data)
        if not events:  # only with nothing left to read: a caller may have been away for long
            self._end_overdue()
        self._hand_out()

    def abandon(self) -> None:
        """Forget what is queued, and end the workers that are at something."""
        self._queue.clear()
        for worker in [worker for worker in self._workers if worker.current or worker.waiting]:
            self._remove(worker)

    def close(self) -> None:
        """End every worker and reap it."""
        self._queue.clear()
        for worker in list(self._workers):
            self._remove(worker)
        self._selector.close()

    def _patience(self, timeout_s: float) -> float:
        now = time.monotonic()
        deadlines = [worker.deadline for worker in self._workers if worker.current or not worker.ready]
        return max(0.0, min([timeout_s, *(deadline - now for deadline in deadlines)]))

    def _hand_out(self) -> None:
        for worker in self._workers:
            if not self._queue:
                return
            if worker.idle:
                self._give(worker)
        starting = sum(not worker.ready for worker in self._workers)
        wanted = bool(self._queue) and (
            not self._workers or len(self._queue) >= self._backlog * (starting + 1)
        )
        if (
            wanted
            and len(self._workers) < self._size
            and starting < max(1, len(self._queue) // max(1, self._backlog))
        ):
            worker = _Worker(self._environment, self._hello)
            self._workers.append(worker)
            self._selector.register(worker.stdout, selectors.EVENT_READ, worker)

    def _give(self, worker: _Worker) -> None:
        share = max(1, -(-len(self._queue) // max(1, len(self._workers))))
        chunk = [self._queue.popleft() for _ in range(min(CHUNK, share, len(self._queue)))]
        for ticket in chunk:
            ticket.handed_out += 1
        worker.waiting.extend(chunk)
        worker.deadline = time.monotonic() + START_LIMIT_S
        jobs = [{"payload": ticket.job.payload, "limit_s": ticket.job.limit_s} for ticket in chunk]
        worker.tell(json.dumps({"jobs": jobs}).encode() + b"\n")

    def _read(self, worker: _Worker) -> None:
        try:
            data = os.read(worker.stdout.fileno(), 1 << 18)
        except BlockingIOError:
            return
        if not data:
            self._mourn(worker, "crashed")
            return
        *lines, worker.buffer = (worker.buffer + data).split(b"\n")
        for line in lines:
            self._hear(worker, json.loads(line))

    def _hear(self, worker: _Worker, said: Mapping[str, Any]) -> None:
        if "ready" in said:
            worker.ready = True
            self._failed_starts = 0
        elif "start" in said:
            worker.current = worker.waiting.popleft()
            worker.started = said["start"]
            worker.cpu_before = said["cpu"]
            worker.deadline = worker.started + worker.current.job.limit_s + GRACE_S
        else:
            assert worker.current is not None
            worker.current.verdict = _verdict(said["done"])
            worker.current = None
            worker.deadline = time.monotonic() + START_LIMIT_S

    def _end_overdue(self) -> None:
        now = time.monotonic()
        for worker in list(self._workers):
            if now >= worker.deadline and not worker.idle:
                left = worker.seconds_left(now)
                if left <= 0:
                    self._mourn(worker, "timeout")
                else:
                    worker.deadline = now + max(left, _LOOK_AGAIN_S)

    def _mourn(self, worker: _Worker, reason: str) -> None:
        """A worker is gone or must go: its current job is ungraded, the rest of its chunk is queued again."""
        started = worker.ready
        if worker.current is not None:
            elapsed = (time.monotonic() - worker.started) * 1e3
            answer = worker.current.job.answer
            worker.current.verdict = Verdict("", Outcome.UNGRADED, 0.0, reason, answer, elapsed_ms=elapsed)
        elif (
            started and worker.waiting and worker.waiting[0].handed_out >= TRIES
        ):  # it kills whoever receives it
            blamed = worker.waiting.popleft()
            blamed.verdict = Verdict("", Outcome.UNGRADED, 0.0, "crashed", blamed.job.answer)
        self._queue.extendleft(reversed(worker.waiting))
        worker.waiting.clear()
        words = self._remove(worker)
        if not started:
            self._failed_starts += 1
            if self._failed_starts >= FAILED_STARTS:
                raise StarError(
                    f"grading worker does not start ({self._failed_starts} attempts, {sys.executable} -m "
                    f"pipeline.graders.worker); it said: {words or 'nothing'}"
                )

    def _remove(self, worker: _Worker) -> str:
        self._selector.unregister(worker.stdout)
        self._workers.remove(worker)
        worker.stop()
        words = worker.last_words()
        worker.errors.close()
        return words


def _verdict(said: Mapping[str, Any]) -> Verdict:
    return Verdict(
        key="",
        outcome=Outcome(said["outcome"]),
        score=said["score"],
        reason=said["reason"],
        answer=said["answer"],
        subscores=said["subscores"],
        elapsed_ms=said["elapsed_ms"],
    )


def _environment(names: tuple[str, ...]) -> dict[str, str]:
    passed = {name: os.environ[name] for name in (*_PASSED_ON, *names) if name in os.environ}
    source = str(Path(__file__).resolve().parents[2])
    return {
        **passed,
        "PYTHONPATH": os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")])),
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
