"""A local engine as an OpenAI-compatible endpoint on 127.0.0.1, for the workers of one grading session.

Started as `python -m pipeline.graders.judge_server JSON`; it writes one line with its port when the model is
open. Requests that wait are asked of the engine together.
"""

from __future__ import annotations

import hmac
import json
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pipeline.config.engines import EngineConfig
from pipeline.engines import Engine, open_engine, resolve_kind
from pipeline.engines.scripted import ScriptedEngine
from pipeline.errors import ConfigError, ModelLoadError, StarError
from pipeline.graders.local_judge import KEY
from pipeline.process import spare_imports
from pipeline.progress import LogProgress
from pipeline.records import Completion, FinishReason, Message, Request, Sampling

LARGEST_REQUEST = 1 << 22
PATH = "/v1/chat/completions"
SCRIPTED_ID = "judge"
"""The `problem_id` of a scripted judge's row; vote i gets its text i."""

Render = Callable[[list[Message]], str]


@dataclass(slots=True)
class _Asked:
    messages: list[Message]
    sampling: Sampling
    seed: int
    until: float
    done: threading.Event = field(default_factory=threading.Event)
    completion: Completion | None = None


class _Refused(Exception):
    """A request that is not served: the status and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def main() -> None:
    """Open the model, say the port, serve until we are ended."""
    spare_imports()
    told = json.loads(sys.argv[1])
    key = os.environ.pop(KEY)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is not our first line
    try:
        engine, render = _open(told)
    except StarError as error:
        sys.exit(str(error))
    asked: queue.Queue[_Asked] = queue.Queue()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(asked, key, told["timeout_s"]))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"port": server.server_address[1]}), file=out, flush=True)
    _write(engine, render, asked)


def _open(told: Mapping[str, Any]) -> tuple[Engine, Render]:
    config = EngineConfig.model_validate(told["engine"])
    progress = LogProgress(sys.stderr)
    if resolve_kind(config) == "scripted":
        return ScriptedEngine(config, model_hash=""), _joined
    from pipeline.engines.tokenizer import load_tokenizer
    from pipeline.engines.weights import resolve_model

    path = resolve_model(told["model"], told["revision"])
    try:
        tokenizer = load_tokenizer(path, chat=True)
    except ConfigError:
        raise ModelLoadError(f"{path} has no chat template; take a model that has one (instruct)") from None
    return open_engine(config, path, model_hash="", chat=True, progress=progress), tokenizer.render_chat


def _joined(messages: list[Message]) -> str:
    return "\n".join(message.content for message in messages)


def _write(engine: Engine, render: Render, asked: queue.Queue[_Asked]) -> None:
    """Answer what waits, all at once, for ever. An engine that fails ends the process, which is noticed."""
    while True:
        waiting = [asked.get()]
        while not asked.empty():
            waiting.append(asked.get())
        now = time.monotonic()
        alive = [one for one in waiting if one.until > now]  # the others are waited for by nobody
        for sampling in dict.fromkeys(one.sampling for one in alive):
            _answer(engine, render, [one for one in alive if one.sampling == sampling])


def _answer(engine: Engine, render: Render, asked: Sequence[_Asked]) -> None:
    by_id = {str(number): one for number, one in enumerate(asked)}
    if isinstance(engine, ScriptedEngine):
        engine.keys = {name: (SCRIPTED_ID, SCRIPTED_ID, one.seed) for name, one in by_id.items()}
    requests = [Request(name, render(one.messages), one.seed) for name, one in by_id.items()]
    for completions in engine.complete(engine.groups(requests), asked[0].sampling):
        for completion in completions:
            one = by_id[completion.request_id]
            one.completion = completion
            one.done.set()


def _handler(asked: queue.Queue[_Asked], key: str, timeout_s: float) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            try:
                self._send(200, self._serve())
            except _Refused as refused:
                self._send(refused.status, {"error": {"message": str(refused)}})

        def _serve(self) -> dict[str, Any]:
            given = self.headers.get("Authorization", "")
            if self.path != PATH or not hmac.compare_digest(given.encode(), f"Bearer {key}".encode()):
                raise _Refused(401, "unknown path or key")
            size = self.headers.get("Content-Length", "")
            if not size.isdecimal() or int(size) > LARGEST_REQUEST:
                raise _Refused(413, f"expected at most {LARGEST_REQUEST} bytes")
            one = _read(self.rfile.read(int(size)), timeout_s)
            asked.put(one)
            if not one.done.wait(timeout_s):
                raise _Refused(504, "no answer in time")
            assert one.completion is not None
            return _reply(one.completion)

        def _send(self, status: int, body: Mapping[str, Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments: object) -> None:
            return

    return Handler


def _read(data: bytes, timeout_s: float) -> _Asked:
    try:
        body = json.loads(data)
        messages = [Message(str(turn["role"]), str(turn["content"])) for turn in body["messages"]]
        sampling = Sampling(int(body["max_tokens"]), float(body["temperature"]), float(body["top_p"]))
        return _Asked(messages, sampling, int(body["seed"]), time.monotonic() + timeout_s)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _Refused(400, f"not a request of a judge: {error!r}") from None


def _reply(completion: Completion) -> dict[str, Any]:
    if completion.finish_reason is FinishReason.PROMPT_TOO_LONG:
        raise _Refused(413, f"the prompt of {completion.prompt_tokens} tokens fills the context")
    message = {"role": "assistant", "content": completion.text}
    usage = {
        "prompt_tokens": completion.prompt_tokens,
        "completion_tokens": completion.completion_tokens,
        "total_tokens": completion.prompt_tokens + completion.completion_tokens,
    }
    return {"choices": [{"index": 0, "message": message}], "usage": usage}


if __name__ == "__main__":
    try:
        main()
    except Exception:
        traceback.print_exc()
        os._exit(1)  # not by way of the threads that wait for the engine
