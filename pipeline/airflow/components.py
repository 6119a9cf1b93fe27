"""The parts of Airflow that `make airflow` needs, until the first of them ends.

`airflow standalone` also starts a triggerer, which nothing here uses, and log servers that listen on every
address of the machine.
`python -m pipeline.airflow.components`, under a parent that ends what is left (`pipeline.process`).
"""

from __future__ import annotations

import subprocess
import sys
import time

_COMPONENTS = (
    ("scheduler", "--skip-serve-logs"),
    ("dag-processor",),
    ("api-server",),
)
_LOOK_EVERY_S = 0.5


def main() -> int:
    """Run them; returns when one has ended, which none does by itself."""
    started = {
        name: subprocess.Popen([sys.executable, "-m", "airflow", name, *options])
        for name, *options in _COMPONENTS
    }
    while True:
        for name, process in started.items():
            if process.poll() is not None:
                print(f"the {name} ended with exit code {process.returncode}", flush=True)
                return 1
        time.sleep(_LOOK_EVERY_S)


if __name__ == "__main__":
    sys.exit(main())
