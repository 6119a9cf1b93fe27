"""Inside the sandbox: run a submitted program as a script, with its standard input, and hand out what
it prints.
"""

import contextlib
import io
import json
import sys
from typing import Any

HELLO: dict[str, Any] = globals().get("HELLO", {})
"""What the outside sent first."""


class Capped(io.TextIOBase):
    """Collects text up to a length."""

    def __init__(self, limit: int) -> None:
        self.parts: list[str] = []
        self.left = limit

    def write(self, text: str) -> int:
        if len(text) > self.left:
            raise OSError("output limit")
        self.left -= len(text)
        self.parts.append(text)
        return len(text)


def main() -> None:
    out = sys.stdout
    out.write(json.dumps({"started": True}) + "\n")
    out.flush()
    printed = Capped(HELLO["output_bytes"])
    sys.stdin = io.TextIOWrapper(io.BytesIO(HELLO["stdin"].encode()), encoding="utf-8")
    error = None
    with contextlib.redirect_stdout(printed):
        try:
            exec(compile(HELLO["source"], "submission", "exec"), {"__name__": "__main__"})  # noqa: S102 - this is the sandbox
        except SystemExit as left:
            error = None if left.code in (None, 0) else "SystemExit"
        except BaseException as raised:
            error = type(raised).__name__
    out.write(json.dumps({"printed": "".join(printed.parts), "error": error}) + "\n")
    out.flush()


main()
