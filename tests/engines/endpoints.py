"""A small OpenAI-compatible server for tests: well-behaved unless a test tells it what to do."""

import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "small"


@dataclass(frozen=True)
class Said:
    """An answer: status, body (an object, or bytes as they are) and headers, after `after_s`; or none at all
    where the connection is `cut`."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    after_s: float = 0.0
    cut: bool = False


Answering = Callable[[dict[str, Any], int], Said]
"""From the body of a request, and how often its prompt and seed have been asked for before."""


def written(text: str = "w1 w2", finish: str = "stop", **further: Any) -> Said:
    """A completion of `/completions`, with usage."""
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    return Said({"choices": [{"text": text, "finish_reason": finish, **further}], "usage": usage})


class Server:
    """Listens on 127.0.0.1 and remembers what it was asked, by whom, and how much at once.

    With `tls` it speaks HTTPS under that certificate.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answer: Answering = lambda body, before: written()
        self.models: Said = Said({"data": [{"id": MODEL, "max_model_len": 96}]})
        self.asked: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.keys: set[str | None] = set()
        self.most_at_once = 0
        self.at_once = 0
        self._lock = threading.Lock()
        self._server = _Quiet(("127.0.0.1", 0), self._handler())
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_address[1]}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def asked_for(self, body: Mapping[str, Any]) -> int:
        """How often this prompt was asked for with this seed."""
        return sum(_name(one) == _name(body) for one in self.asked)

    def _answer(self, body: dict[str, Any]) -> Said:
        with self._lock:
            before = self.asked_for(body)
            self.asked.append(body)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            said = self.answer(body, before)
            time.sleep(said.after_s)
            return said
        finally:
            with self._lock:
                self.at_once -= 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.keys.add(self.headers["Authorization"])
                self._send(outer.models)

            def do_POST(self) -> None:
                outer.keys.add(self.headers["Authorization"])
                outer.paths.append(self.path)
                self._send(outer._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

            def _send(self, said: Said) -> None:
                self.close_connection = said.cut
                if said.cut:
                    return
                data = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
                self.send_response(said.status)
                self.send_header("Content-Length", str(len(data)))
                for name, value in said.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *arguments: object) -> None:
                return

        return Handler


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that went away is no news."""


def _name(body: Mapping[str, Any]) -> tuple[str, int]:
    return str(body.get("prompt") or body.get("messages")), body["seed"]
