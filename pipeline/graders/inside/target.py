"""Inside the sandbox: load a submitted program and call its functions as the outside asks.

Nothing here decides anything: what a test expects is never sent in, and results go out as plain data.
"""

import io
import json
import os
import sys
from typing import Any

from pipeline.graders.inside.codec import decode, encode

HELLO: dict[str, Any] = globals().get("HELLO", {})
"""What the outside sent first."""


def answer(space: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """Call a function of the program."""
    function = space.get(asked["call"])
    if not callable(function):
        return {"error": "NameError", "text": asked["call"]}
    arguments = [decode(argument) for argument in asked["args"]]
    named = {name: decode(value) for name, value in asked.get("kwargs", {}).items()}
    try:
        result = encode(function(*arguments, **named))
    except BaseException as error:
        return {"error": type(error).__name__, "text": str(error)[:200]}
    try:
        after = [encode(argument) for argument in arguments]
    except TypeError:
        after = []
    return {"result": result, "after": after}


def main() -> None:
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    commands = os.fdopen(os.dup(0), "r", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    sys.stdin, sys.stdout = io.StringIO(), io.StringIO()
    sys.setrecursionlimit(5_000)
    space: dict[str, Any] = {"__name__": "submission"}
    out.write(json.dumps({"started": True}) + "\n")
    out.flush()
    try:
        exec(compile(HELLO["source"], "submission", "exec"), space)  # noqa: S102 - this is the sandbox
        said: dict[str, Any] = {"loaded": True}
    except BaseException as error:
        said = {"loaded": False, "error": type(error).__name__, "text": str(error)[:200]}
    while True:
        out.write(json.dumps(said) + "\n")
        out.flush()
        line = commands.readline()
        if not line:
            return
        said = answer(space, json.loads(line))


main()
