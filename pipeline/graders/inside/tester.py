"""Inside a sandbox of its own: run the test code; calls of the submitted program go through the outside.

Test and submission live in different processes, so a submission cannot leave early with success, patch the
assertions or read what is expected.
"""

import ast
import builtins
import json
import os
import sys
from typing import Any

from pipeline.graders.inside.codec import decode, encode

HELLO: dict[str, Any] = globals().get("HELLO", {})
"""What the outside sent first."""
MOST_RECORDS = 10_000


class Remote:
    """A function of the submission, called in its own process."""

    def __init__(self, name: str, tell: Any, hear: Any) -> None:
        self.__name__ = name
        self._tell, self._hear = tell, hear

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        args = [encode(argument) for argument in arguments]
        self._tell(
            {
                "call": self.__name__,
                "args": args,
                "kwargs": {key: encode(part) for key, part in named.items()},
            }
        )
        reply = self._hear()
        if "error" in reply:
            kind = getattr(builtins, str(reply["error"]), Exception)
            usable = isinstance(kind, type) and issubclass(kind, Exception)
            raise (kind if usable else Exception)(str(reply.get("text", "")))
        for argument, after in zip(arguments, reply.get("after", []), strict=False):
            self._restore(argument, decode(after))
        return decode(reply["result"])

    def _restore(self, argument: Any, after: Any) -> None:
        """What the function changed in place is changed here too."""
        if isinstance(argument, list) and isinstance(after, list):
            argument[:] = after
        elif isinstance(argument, dict) and isinstance(after, dict):
            argument.clear()
            argument.update(after)


class Space(dict):  # type: ignore[type-arg]
    """Globals of the test code: a name nobody defined is a function of the submission."""

    def __init__(self, remote: Any) -> None:
        super().__init__()
        self._remote = remote

    def __missing__(self, name: str) -> Any:
        if hasattr(builtins, name):
            raise KeyError(name)
        return self._remote(name)


class Recorded(ast.NodeTransformer):
    """Every `assert` reports whether it held, and the test goes on."""

    def visit_Assert(self, node: ast.Assert) -> Any:
        body: list[ast.stmt] = [self._record(node.test)]
        handler = ast.ExceptHandler(
            type=ast.Name("Exception", ast.Load()), name=None, body=[self._record(ast.Constant(False))]
        )
        guarded = ast.Try(body=body, handlers=[handler], orelse=[], finalbody=[])
        return ast.fix_missing_locations(ast.copy_location(guarded, node))

    def _record(self, value: ast.expr) -> ast.stmt:
        return ast.Expr(ast.Call(ast.Name("__record", ast.Load()), [value], []))


def main() -> None:
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    replies = os.fdopen(os.dup(0), "r", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    out.write(json.dumps({"started": True}) + "\n")
    out.flush()
    records: list[bool] = []

    def tell(message: dict[str, Any]) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    def hear() -> Any:
        return json.loads(replies.readline())

    def record(held: Any) -> None:
        if len(records) < MOST_RECORDS:
            records.append(bool(held))

    space = Space(lambda name: Remote(name, tell, hear))
    space.update({"__name__": "tests", "__record": record, "__builtins__": builtins})
    error = None
    try:
        tree = ast.fix_missing_locations(Recorded().visit(ast.parse(HELLO["tests"])))
        exec(compile(tree, "tests", "exec"), space)  # noqa: S102 - this is the sandbox
    except BaseException as raised:
        error = type(raised).__name__
        records.append(False)
    tell({"records": records, "error": error})
    sys.exit(0)


main()
