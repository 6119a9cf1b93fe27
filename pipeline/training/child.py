"""The process that trains: `python -m pipeline.training.child SPEC.json FOLDER STATES`.

It writes a loadable model into FOLDER, saves its state in STATES as it goes, and says how it is going as JSON
lines on its standard output; whatever libraries print goes to standard error. A process of its own, so that
its memory (the GPU's above all) is free when it ends, whatever ended it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

from pipeline.errors import StarError
from pipeline.training.events import leave, take_over_output
from pipeline.training.processes import check_devices, said_by_main
from pipeline.training.spec import TrainSpec


def main(spec_path: str, folder: str, states: str) -> NoReturn:
    """Train as the spec says; the exit code is 0 or that of the error, which is also said as an event.

    One of several processes where `accelerate launch` started them.
    """
    say = said_by_main(take_over_output())
    spec = TrainSpec.from_json(Path(spec_path).read_text(encoding="utf-8"))
    try:
        from pipeline.training.fine_tune import fine_tune, import_libraries

        import_libraries()
        check_devices(spec.config)
        say("done", **fine_tune(spec, Path(folder), Path(states), say))
    except StarError as error:
        say("error", message=str(error), exit_code=error.exit_code)
        leave(error.exit_code, flush=spec.tracking is not None)
    leave(0, flush=spec.tracking is not None)


if __name__ == "__main__":
    main(*sys.argv[1:])
