"""A command that runs beside us and says when it is ready: what serves something for as long as we live."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any

from pipeline.errors import StarError
from pipeline.process.child import SUPERVISOR, end_tree

_KEPT_WORDS = 2_000


class Background:
    """Started at once, under the supervisor: whatever ends us ends its whole process tree."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], grace_s: float = 2.0) -> None:
        self._grace_s = grace_s
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._child = subprocess.Popen(
            [sys.executable, "-I", "-S", str(SUPERVISOR), str(os.getpid()), str(grace_s), *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=dict(env),
            start_new_session=True,
        )

    def first_line(self, timeout_s: float) -> dict[str, Any]:
        """The JSON object on the first line of its output: what it says when it is ready.

        StarError with the end of its stderr where it ends before that, or takes longer than `timeout_s`.
        """
        assert self._child.stdout is not None
        deadline = time.monotonic() + timeout_s
        data = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._child.stdout, selectors.EVENT_READ)
            while b"\n" not in data:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise StarError(f"not ready after {timeout_s:g} s; it said: {self.last_words()}")
                chunk = os.read(self._child.stdout.fileno(), 1 << 16)
                if not chunk:
                    self._child.wait()
                    raise StarError(self.last_words())
                data += chunk
        said: dict[str, Any] = json.loads(data.partition(b"\n")[0])
        return said

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._child.poll() is None

    def last_words(self) -> str:
        """The end of what it wrote to its standard error."""
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - _KEPT_WORDS))
        return self._errors.read().decode("utf-8", "replace").strip() or "nothing"

    def close(self) -> None:
        """End it and all below it. Safe to call twice."""
        end_tree(self._child, self._grace_s)
        self._errors.close()
