"""Ask an OpenAI-compatible endpoint for one chat completion, with retries that respect its load."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.endpoint import (
    LARGEST_REFUSAL,
    LONGEST_PAUSE_S,
    Unanswered,
    broken,
    client_settings,
    parsed,
    pause_s,
    refusal,
    used_tokens,
)

LARGEST_ANSWER = 1 << 20


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
        """One completion. Raises Unanswered (`busy_429`, `refused_401`, ...)."""
        for attempt in range(self.retries + 1):
            try:
                data = self._send(body)
            except Unanswered as failure:
                if attempt == self.retries or not failure.again:
                    raise
                told = failure.pause_s
                time.sleep(pause_s(attempt, self.backoff_s) if told is None else min(LONGEST_PAUSE_S, told))
            else:
                return _read(data, attempt + 1)
        raise AssertionError("the last attempt returns or raises")

    def longest_s(self) -> float:
        """Seconds that `ask` may take at most, but for `Retry-After`."""
        pauses = sum(min(LONGEST_PAUSE_S, self.backoff_s * 2**attempt) for attempt in range(self.retries))
        return (self.retries + 1) * self.timeout_s + float(pauses)

    def _send(self, body: Mapping[str, Any]) -> bytes:
        import httpx2

        url = self.base_url.rstrip("/") + "/chat/completions"
        deadline = time.monotonic() + self.timeout_s
        data = bytearray()
        try:
            with (
                httpx2.Client(**client_settings(self.api_key_env), timeout=self.timeout_s) as client,
                client.stream("POST", url, json=body) as response,
            ):
                for chunk in response.iter_bytes():
                    data += chunk
                    if len(data) > LARGEST_REFUSAL and not response.is_success:
                        break
                    if len(data) > LARGEST_ANSWER:
                        raise Unanswered("flooded")
                    if time.monotonic() > deadline:  # the timeout of the socket is for each read only
                        raise TimeoutError
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise broken(error) from None
        if not response.is_success:
            raise refusal(response.status_code, response.headers, bytes(data), self.api_key_env)
        return bytes(data)


def _read(data: bytes, calls: int) -> Reply:
    said = parsed(data)
    try:
        text = said["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        text = None
    if not isinstance(text, str):
        raise Unanswered("malformed")
    prompt, completion = used_tokens(said)
    return Reply(text, prompt or 0, completion or 0, calls)
