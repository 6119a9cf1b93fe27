"""What an OpenAI-compatible server is sent for one completion, and what its answer says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.config.engines import EndpointConfig
from pipeline.endpoint import Unanswered, chat, malformed, message, parsed, used_tokens
from pipeline.engines.stops import cut_at_stop, drawn_text
from pipeline.engines.tokenizer import Tokenizer
from pipeline.records import FinishReason, Request, Sampling

_CUT = frozenset({"length", "content_filter"})
"""Finish reasons of a text that is not whole."""
MOST_STOPS = 4
"""Stop strings that OpenAI and vLLM take; at further ones a text is cut once it has come."""
_TOO_LONG = ("context_length_exceeded", "maximum context length", "exceed_context_size")
"""How servers say that a prompt fills the context: OpenAI's code, vLLM's words, llama.cpp's code."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A completion as the server gave it. Token counts include the end token."""

    text: str
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    mean_logprob: float | None


class Form:
    """The form of requests and answers of one server, for one sampling."""

    def __init__(self, config: EndpointConfig, model: str, tokenizer: Tokenizer, sampling: Sampling) -> None:
        self._config, self._model, self._tokenizer = config, model, tokenizer
        self._stop = sampling.stop
        self._sampling = sampling
        self.path = "/chat/completions" if config.api == "chat" else "/completions"

    def body(self, request: Request, prompt: Sequence[int], max_tokens: int) -> dict[str, Any]:
        """The request; `prompt` are the ids of its text."""
        drawn: dict[str, Any] = {
            "seed": request.seed,
            "temperature": self._sampling.temperature,
            "top_p": self._sampling.top_p,
            "max_tokens": max_tokens,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
        }
        if self._config.api == "tokens":
            return {**self._of_tokens(prompt), **drawn, **self._config.further}
        if self._stop:
            drawn["stop"] = list(self._stop[:MOST_STOPS])  # OpenAI refuses an empty list
        if self._sampling.top_k:
            drawn["top_k"] = self._sampling.top_k
        drawn |= self._config.further
        if self._config.api == "chat":
            return chat(self._model, [message("user", request.prompt)], **drawn)
        return {
            "model": self._model,
            "prompt": request.prompt,
            "n": 1,
            "stream": False,
            "logprobs": 0,
            **drawn,
        }

    def _of_tokens(self, prompt: Sequence[int]) -> dict[str, Any]:
        """Every field that changes what is written, said explicitly; and the drawn ids asked for."""
        in_text = [text for text in self._stop if self._tokenizer.special_id(text) is None]
        return {
            "model": self._model,
            "prompt": list(prompt),
            "n": 1,
            "stream": False,
            "top_k": self._sampling.top_k or -1,  # off: SGLang refuses 0
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "min_tokens": 0,
            "ignore_eos": False,
            "stop": in_text[:MOST_STOPS],
            "stop_token_ids": sorted(self._tokenizer.stop_ids_with(self._stop)),
            "skip_special_tokens": True,
            "logprobs": 0,  # of the drawn token only
            "return_token_ids": True,
        }

    def answer(self, data: bytes, prompt: Sequence[int]) -> Answer:
        """Read an answer; Unanswered (`malformed`) where it is none.

        Drawn ids, where the server gives them, are decoded as by every other engine. Counts are the server's,
        else those of the tokenizer of `model.base`.
        """
        said = parsed(data)
        try:
            choice = said["choices"][0]
            finish = choice["finish_reason"]
            text, reason = self._text(choice, finish)
            ids = _drawn_ids(choice)
            logprobs = _logprobs(choice.get("logprobs"))
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise malformed(f"no completion in it ({type(error).__name__})") from None
        sent, drawn = used_tokens(said)
        if drawn is None:
            drawn = len(ids if ids is not None else logprobs or self._tokenizer.encode_completion(text))
        mean = sum(logprobs) / len(logprobs) if logprobs else None
        return Answer(text, reason, len(prompt) if sent is None else sent, drawn, mean)

    def _text(self, choice: Mapping[str, Any], finish: object) -> tuple[str, FinishReason]:
        if finish != "stop" and finish not in _CUT:
            raise ValueError(f"finish_reason {finish!r}")
        ids = _drawn_ids(choice)
        if ids is not None:
            return drawn_text(self._tokenizer, ids, stopped=finish == "stop", stop=self._stop)
        text = choice["message"]["content"] if self._config.api == "chat" else choice["text"]
        text = text.encode("utf-8", "replace").decode()  # JSON can hold half a character, a file cannot
        if (cut := cut_at_stop(text, self._stop)) is not None:
            return cut, FinishReason.STOP
        if finish in _CUT:
            return text, FinishReason.LENGTH
        return text, FinishReason.STOP if isinstance(choice.get("stop_reason"), str) else FinishReason.EOS


def _drawn_ids(choice: Mapping[str, Any]) -> list[int] | None:
    ids = choice.get("token_ids")
    if ids is None:
        return None
    if not isinstance(ids, list) or not all(type(index) is int and index >= 0 for index in ids):
        raise ValueError("token_ids")
    return ids


def _logprobs(given: Any) -> list[float]:
    """Of the drawn tokens, in the form of `/completions` or of `/chat/completions`; empty: not told."""
    if given is None:
        return []
    values = given.get("token_logprobs")
    if values is None:
        values = [token["logprob"] for token in given.get("content") or ()]
    return [float(value) for value in values]


def fills_context(failure: Unanswered) -> bool:
    """Whether a server refused a prompt because no room is left for a completion."""
    return failure.reason in ("refused_400", "refused_413") and any(
        words in failure.detail for words in _TOO_LONG
    )
