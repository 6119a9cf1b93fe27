"""Inside the sandbox: run a grader that a user wrote: `def grade(sample, item) -> float` or `def
check(...)`.
"""

import json
import os
import sys
from typing import Any

HELLO: dict[str, Any] = globals().get("HELLO", {})
"""What the outside sent first."""


def main() -> None:
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    out.write(json.dumps({"started": True}) + "\n")
    out.flush()
    space: dict[str, Any] = {"__name__": "grader"}
    try:
        exec(compile(HELLO["source"], "grader", "exec"), space)  # noqa: S102 - this is the sandbox
        result = space[HELLO["function"]](*HELLO["arguments"])
        said: dict[str, Any] = {"score": float(result)}
    except BaseException as raised:
        said = {"error": f"{type(raised).__name__}: {raised}"[:300]}
    out.write(json.dumps(said) + "\n")
    out.flush()
    sys.exit(0)


main()
