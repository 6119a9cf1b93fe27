"""The process that trains: `python -m pipeline.training.child SPEC.json FOLDER`.

It writes a loadable model into FOLDER and says how it is going as JSON lines on its standard output; whatever
libraries print goes to standard error. A process of its own, so that its memory (the GPU's above all) is free
when it ends, whatever ended it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from pipeline.errors import StarError
from pipeline.training.spec import TrainSpec


def main(spec_path: str, folder: str) -> int:
    """Train as the spec says; the exit code is 0 or that of the error, which is also said as an event."""
    # Events own the pipe: descriptor 1 becomes standard error before any library can write to it.
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(event: str, **fields: Any) -> None:
        print(json.dumps({"event": event, **fields}), file=events, flush=True)

    spec = TrainSpec.from_json(Path(spec_path).read_text(encoding="utf-8"))
    try:
        from pipeline.training.fine_tune import fine_tune, import_libraries

        import_libraries()
        say("done", **fine_tune(spec, Path(folder), say))
    except StarError as error:
        say("error", message=str(error), exit_code=error.exit_code)
        return error.exit_code
    return 0


if __name__ == "__main__":
    code = main(*sys.argv[1:])
    sys.stderr.flush()
    # Everything is on disk and said; taking torch and its threads down in order would only cost time.
    os._exit(code)
