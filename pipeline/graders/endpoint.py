"""Ask an OpenAI-compatible endpoint for one chat completion, with retries that respect its load."""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LARGEST_ANSWER = 1 << 20
LONGEST_PAUSE_S = 60.0
_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})


class EndpointError(Exception):
    """No answer: `reason` is a word for an ungraded verdict."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Reply:
    """The text of the answer and what it cost."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    calls: int


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where and how to ask. Times in seconds."""

    base_url: str
    api_key_env: str | None
    timeout_s: float
    retries: int
    backoff_s: float

    def ask(self, body: Mapping[str, Any]) -> Reply:
        """One completion. Raises EndpointError (`judge_busy_429`, `judge_refused_401`, ...)."""
        reason = "judge_busy"
        for attempt in range(self.retries + 1):
            try:
                return _read(self._send(body), attempt + 1)
            except urllib.error.HTTPError as error:
                error.close()
                if error.code not in _AGAIN:
                    raise EndpointError(f"judge_refused_{error.code}") from None
                reason, pause = f"judge_busy_{error.code}", _pause(error.headers.get("Retry-After"))
            except (TimeoutError, urllib.error.URLError, http.client.HTTPException, OSError) as error:
                reason, pause = ("judge_timeout" if _is_timeout(error) else "judge_unreachable"), None
            if attempt < self.retries:
                time.sleep(min(LONGEST_PAUSE_S, pause if pause is not None else self.backoff_s * 2**attempt))
        raise EndpointError(reason)

    def longest_s(self) -> float:
        """Seconds that `ask` may take at most, but for `Retry-After`."""
        pauses = sum(min(LONGEST_PAUSE_S, self.backoff_s * 2**attempt) for attempt in range(self.retries))
        return (self.retries + 1) * self.timeout_s + float(pauses)

    def _send(self, body: Mapping[str, Any]) -> bytes:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        key = os.environ.get(self.api_key_env) if self.api_key_env else None
        if key:
            headers["Authorization"] = f"Bearer {key}"
        url = self.base_url.rstrip("/") + "/chat/completions"
        request = urllib.request.Request(url, data=json.dumps(body).encode(), headers=headers, method="POST")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())
        deadline = time.monotonic() + self.timeout_s
        with opener.open(request, timeout=self.timeout_s) as response:
            parts: list[bytes] = []
            size = 0
            while chunk := response.read1(1 << 16):
                size += len(chunk)
                if size > LARGEST_ANSWER:
                    raise EndpointError("judge_flooded")
                if time.monotonic() > deadline:  # the timeout of the socket is for each read only
                    raise TimeoutError
                parts.append(chunk)
        return b"".join(parts)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The key goes to the endpoint of the config and nowhere else."""

    def redirect_request(self, *arguments: Any, **named: Any) -> None:
        return None


def _read(data: bytes, calls: int) -> Reply:
    try:
        said = json.loads(data)
        text = said["choices"][0]["message"]["content"]
        usage = said.get("usage") or {}
        counts = [int(usage.get(name) or 0) for name in ("prompt_tokens", "completion_tokens")]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise EndpointError("judge_malformed") from None
    if not isinstance(text, str):
        raise EndpointError("judge_malformed")
    return Reply(text, counts[0], counts[1], calls)


def _pause(header: str | None) -> float | None:
    try:
        return max(0.0, float(header)) if header is not None else None
    except ValueError:
        return None


def _is_timeout(error: Exception) -> bool:
    return isinstance(error, TimeoutError) or isinstance(getattr(error, "reason", None), TimeoutError)


def message(role: str, content: str) -> dict[str, str]:
    """One chat message."""
    return {"role": role, "content": content}


def chat(model: str, messages: Sequence[Mapping[str, str]], **sampling: Any) -> dict[str, Any]:
    """The body of a request; every sampling field is sent, else a server applies the model's own."""
    return {"model": model, "messages": list(messages), "n": 1, "stream": False, **sampling}
