"""The parts of Airflow that `make airflow` needs, until the first of them ends.

`airflow standalone` also starts a triggerer, which nothing here uses, and log servers that listen on every
address of the machine.
`python -m pipeline.airflow.components`, under a parent that ends what is left (`pipeline.process`).
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

_API = ("api-server",)
_OTHERS = (("scheduler", "--skip-serve-logs"), ("dag-processor",))
_LOOK_EVERY_S = 0.5
_API_PATIENCE_S = 180.0


def main() -> int:
    """Run them; returns when one has ended, which none does by itself."""
    started = [_start(*_API)]
    # A scheduler that is up before the API server starts tasks that cannot report, each of which costs a try.
    _wait_for_api(started[0])
    started += [_start(*command) for command in _OTHERS]
    while True:
        for process in started:
            if process.poll() is not None:
                print(f"{process.args!r} ended with exit code {process.returncode}", flush=True)
                return 1
        time.sleep(_LOOK_EVERY_S)


def _start(*command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "airflow", *command])


def _wait_for_api(server: subprocess.Popen[bytes]) -> None:
    """Until it listens, has ended, or took too long (then the tries have to do)."""
    address = (os.environ["AIRFLOW__API__HOST"], int(os.environ["AIRFLOW__API__PORT"]))
    deadline = time.monotonic() + _API_PATIENCE_S
    while server.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(address, timeout=1).close()
            return
        except OSError:
            time.sleep(_LOOK_EVERY_S)


if __name__ == "__main__":
    sys.exit(main())
