"""Asking an OpenAI-compatible server: what judges and the openai engine share.

The request and its headers, what an answer costs, what a failure means, and how long to wait after it.
"""

from __future__ import annotations

import json
import math
import os
import random
import time
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any

from pipeline.errors import ConfigError
from pipeline.hostile import clean

LONGEST_PAUSE_S = 60.0
LARGEST_REFUSAL = 1 << 16
"""Bytes read of an answer that says why there is none."""
_LOAD = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_SHOWN = 300


class Unanswered(Exception):
    """A request without an answer.

    `reason` is a word: `busy_429`, `refused_401`, `timeout`, `unreachable`, `flooded`, `malformed`. `again`
    says that asking again may help, `load` that the server has too much to do, `pause_s` how long it asks us
    to wait (None: it does not say), `detail` what it wrote, fit to be shown.
    """

    def __init__(
        self,
        reason: str,
        *,
        again: bool = False,
        load: bool = False,
        pause_s: float | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.again, self.load = reason, again, load
        self.pause_s, self.detail = pause_s, detail


def client_settings(api_key_env: str | None) -> dict[str, Any]:
    """Arguments of an HTTP client. The key goes to the endpoint of the config and nowhere else.

    Of the environment only SSL_CERT_FILE and SSL_CERT_DIR count (a certificate authority of one's own): no
    proxy, no netrc.
    """
    import httpx2

    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    if key := _key(api_key_env):
        headers["Authorization"] = f"Bearer {key}"
    certificates = httpx2.create_ssl_context(trust_env=True)
    return {"headers": headers, "follow_redirects": False, "trust_env": False, "verify": certificates}


def _key(api_key_env: str | None) -> str | None:
    """The key in a variable, None where there is none; ConfigError where no header can hold it.

    An HTTP library would show such a key in its error.
    """
    key = os.environ.get(api_key_env, "").strip() if api_key_env else ""
    if key and not (key.isascii() and key.isprintable()):
        raise ConfigError(f"the key in {api_key_env} has characters that no key has; set {api_key_env} anew")
    return key or None


def message(role: str, content: str) -> dict[str, str]:
    """One chat message."""
    return {"role": role, "content": content}


def chat(model: str, messages: Sequence[Mapping[str, str]], **sampling: Any) -> dict[str, Any]:
    """The body of a request; every sampling field is sent, else a server applies the model's own."""
    return {"model": model, "messages": list(messages), "n": 1, "stream": False, **sampling}


def parsed(data: bytes) -> dict[str, Any]:
    """The JSON object of an answer; Unanswered (`malformed`) where it is something else."""
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        raise malformed("no JSON") from None
    if not isinstance(said, dict):
        raise malformed("no JSON object")
    return said


def malformed(detail: str) -> Unanswered:
    """An answer that cannot be read: the next one may be readable."""
    return Unanswered("malformed", again=True, detail=detail)


def used_tokens(said: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Tokens of prompt and completion as the server counted them; None where it does not say."""
    usage = said.get("usage")
    if not isinstance(usage, Mapping):
        return None, None
    counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
    prompt, completion = (count if type(count) is int and count >= 0 else None for count in counts)
    return prompt, completion


def refusal(status: int, headers: Mapping[str, str], data: bytes, api_key_env: str | None) -> Unanswered:
    """What a status other than 2xx means."""
    detail = clean(_said(data)).strip()
    if key := _key(api_key_env):
        detail = detail.replace(key, "***")
    if status not in _LOAD:
        return Unanswered(f"refused_{status}", detail=detail[:_SHOWN])
    pause = asked_pause_s(headers.get("Retry-After"))
    return Unanswered(f"busy_{status}", again=True, load=True, pause_s=pause, detail=detail[:_SHOWN])


def _said(data: bytes) -> str:
    """The message of an error body, whichever of the usual forms it has."""
    try:
        said = json.loads(data)
        error = said.get("error", said)
        if not isinstance(error, dict):
            return str(error)
        return " ".join(str(error[name]) for name in ("message", "code") if error.get(name)) or str(said)
    except (ValueError, AttributeError, RecursionError):
        return data.decode("utf-8", "replace")


def broken(error: Exception) -> Unanswered:
    """What an error of the connection means: `timeout` (a sign of load) or `unreachable`."""
    import httpx2

    if isinstance(error, (httpx2.TimeoutException, TimeoutError)):
        return Unanswered("timeout", again=True, load=True)
    return Unanswered("unreachable", again=True, detail=clean(str(error))[:_SHOWN] or type(error).__name__)


def asked_pause_s(header: str | None) -> float | None:
    """Seconds of a `Retry-After`: a number, or until a date. None where there is none to be read."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def pause_s(attempt: int, first_s: float) -> float:
    """Seconds before asking again after failure number `attempt` (from 0) of one request.

    Doubled each time up to LONGEST_PAUSE_S, and up to half of it left off at random: those that failed
    together do not come back together.
    """
    return random.uniform(0.5, 1.0) * min(LONGEST_PAUSE_S, first_s * 2.0 ** min(attempt, 30))
