"""A server that speaks OpenAI's API: vLLM's, SGLang, llama.cpp, a hosted one, or one that we start."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config.engines import EndpointConfig, EngineConfig
from pipeline.endpoint import (
    LARGEST_REFUSAL,
    Unanswered,
    broken,
    client_settings,
    parsed,
    pause_s,
    refusal,
)
from pipeline.engines.clock import Clock
from pipeline.engines.concurrency import Concurrency
from pipeline.engines.openai_api import Answer, Form, fills_context
from pipeline.engines.openai_work import Asked, Work
from pipeline.engines.served import NAME, Served
from pipeline.engines.tokenizer import Tokenizer, load_tokenizer
from pipeline.engines.weights import context_of
from pipeline.errors import ConfigError, DataError, ServerError, StarError
from pipeline.hostile import clean
from pipeline.records import Completion, FinishReason, Request, Sampling

if TYPE_CHECKING:
    import httpx2

LARGEST_ANSWER = 1 << 26
LONGEST_ASKED_PAUSE_S = 600.0
FLUSH_AFTER_S = 5.0
"""Completions of a slow server are handed on after this time, however few: they may have cost money."""
UNKNOWN_CONTEXT = 1 << 20
FIRST_CONTACT_S = 30.0


class OpenAIEngine:
    """Asks for each completion by itself, as many at once as `Concurrency` says, again where it may help."""

    kind = "openai"
    mixes = False

    def __init__(self, config: EngineConfig, model_path: Path, *, model_hash: str, chat: bool) -> None:
        assert config.endpoint is not None, "the config describes the server of openai"
        self._endpoint: EndpointConfig = config.endpoint
        self._served: Served | None = None
        self.model_hash = model_hash
        self.device, self.versions = "none", dict[str, str]()
        self.tokenizer: Tokenizer = load_tokenizer(model_path, chat=chat)
        if self._endpoint.url is None:
            self.context = context_of(model_path, config.max_model_len)
            self._served = Served(config, model_path, self.context)
            self.device, self.versions = self._served.device, self._served.versions
            self._url, self._model = self._served.url, NAME
        else:
            self._url, self._model = self._endpoint.url.rstrip("/"), self._endpoint.model or ""
            _check_key(self._endpoint)
            self.context = config.max_model_len or self._told_context() or UNKNOWN_CONTEXT
        self._flush_every = config.flush_every
        self._concurrency = Concurrency(config.batch_size)

    def groups(self, requests: Sequence[Request]) -> list[tuple[Request, ...]]:
        """One request each: the server chooses what it writes together."""
        return [(request,) for request in requests]

    def complete(
        self, groups: Iterable[tuple[Request, ...] | None], sampling: Sampling
    ) -> Iterator[list[Completion]]:
        """Lists of about `flush_every`, or fewer after FLUSH_AFTER_S.

        ServerError where a request fails for good, once all that was on its way has been handed on.
        """
        form = Form(self._endpoint, self._model, self.tokenizer, sampling)
        loop = asyncio.new_event_loop()
        client = self._client()
        work = Work(request for group in filter(None, groups) for request in group)
        try:
            yield from self._answered(loop, client, form, work, sampling)
        finally:
            loop.run_until_complete(work.abandon(client))
            loop.close()

    def _answered(
        self,
        loop: asyncio.AbstractEventLoop,
        client: httpx2.AsyncClient,
        form: Form,
        work: Work,
        sampling: Sampling,
    ) -> Iterator[list[Completion]]:
        clock = Clock()
        ready: list[Completion] = []
        flushed = time.monotonic()
        while work.unfinished:
            while len(ready) < self._flush_every and (asked := work.next(self._concurrency.limit)):
                if (too_long := self._prepare(asked, form, sampling)) is not None:
                    ready.append(too_long)
                    continue
                work.started(asked, self._concurrency.turn, loop.create_task(self._ask(client, form, asked)))
            if len(ready) < self._flush_every:
                done = loop.run_until_complete(work.some_done(FLUSH_AFTER_S))
                answered = [completion for asked in done if (completion := self._completion(asked, work))]
                seconds = clock.share(len(answered))
                ready += [replace(completion, seconds=seconds) for completion in answered]
            due = time.monotonic() - flushed >= FLUSH_AFTER_S
            if len(ready) >= self._flush_every or (ready and due):
                yield ready
                ready, flushed = [], time.monotonic()
                clock.restart()
        if ready:
            yield ready
        if work.failure is not None:
            raise work.failure

    def _prepare(self, asked: Asked, form: Form, sampling: Sampling) -> Completion | None:
        """Make the body of a request; its completion where the prompt fills the context."""
        request = asked.request
        asked.prompt = self.tokenizer.encode_prompt(request.prompt)
        if not asked.prompt:
            raise DataError(f"request {request.request_id} has an empty prompt; expected a token or more")
        room = self.context - len(asked.prompt)
        if self._endpoint.api == "tokens" and room <= 0:
            return _too_long(asked)
        max_tokens = min(sampling.max_tokens, room) if self._endpoint.api == "tokens" else sampling.max_tokens
        asked.body = form.body(request, asked.prompt, max_tokens)
        return None

    async def _ask(self, client: httpx2.AsyncClient, form: Form, asked: Asked) -> Answer:
        began = time.perf_counter()
        data = await _send(client, "POST", form.path, self._endpoint.timeout_s, self._endpoint, asked.body)
        answer = form.answer(data, asked.prompt)
        passed = time.perf_counter() - began
        self._concurrency.answered(asked.turn, passed / max(1, answer.completion_tokens))
        return answer

    def _completion(self, asked: Asked, work: Work) -> Completion | None:
        """What came of a request, without its seconds; None where it is asked again or failed."""
        try:
            answer = asked.result()
        except Unanswered as failure:
            if fills_context(failure):
                return _too_long(asked)
            self._after(failure, asked, work)
            return None
        return Completion(
            asked.request.request_id,
            answer.text,
            answer.finish_reason,
            answer.prompt_tokens,
            answer.completion_tokens,
            answer.mean_logprob,
            0.0,
        )

    def _after(self, failure: Unanswered, asked: Asked, work: Work) -> None:
        if failure.load:
            self._concurrency.refused(asked.turn)
        if self._served is not None and not self._served.alive:
            work.fail(self._served.ended())
        elif not failure.again or asked.failures >= self._endpoint.retries:
            work.fail(self._for_good(failure, asked.failures + 1))
        elif failure.pause_s is not None:
            work.hold(min(LONGEST_ASKED_PAUSE_S, failure.pause_s))
            work.again(asked, 0.0)
        else:
            work.again(asked, pause_s(asked.failures, self._endpoint.backoff_s))

    def _for_good(self, failure: Unanswered, times: int) -> StarError:
        said = f"; it said: {failure.detail}" if failure.detail else ""
        where = f"the server {self._url} (model {self._model})"
        if failure.reason in ("refused_401", "refused_403"):
            return _refused_key(where, self._endpoint, failure)
        if failure.again:
            return ServerError(
                f"{where} gave no completion in {times} tries, the last: {failure.reason}{said}. What was "
                "written is kept: the same command goes on once it answers; engine.endpoint.retries and "
                "timeout_s bound the waiting"
            )
        return ServerError(
            f"{where} refuses a request: {failure.reason}{said}. Check engine.endpoint: its url, model, api "
            "and further"
        )

    def _told_context(self) -> int | None:
        """The context that the server names for the model, where it does.

        ConfigError where it has no such model or refuses the key, ServerError where there is no server.
        """
        where = f"the server {self._url}"
        try:
            models = _models(asyncio.run(self._list_models()))
        except Unanswered as failure:
            if failure.reason in ("refused_401", "refused_403"):
                raise _refused_key(where, self._endpoint, failure) from None
            if failure.reason in ("timeout", "unreachable"):
                raise ServerError(
                    f"{where} does not answer ({failure}); start it, or set engine.endpoint.url"
                ) from None
            return None  # not every server lists its models
        if models and self._model not in models:
            raise ConfigError(
                f"{where} has no model {self._model!r}; set engine.endpoint.model to one of "
                f"{clean(', '.join(sorted(models)[:20]))}"
            )
        return models.get(self._model)

    async def _list_models(self) -> bytes:
        async with self._client() as client:
            return await _send(client, "GET", "/models", FIRST_CONTACT_S, self._endpoint)

    def _client(self) -> httpx2.AsyncClient:
        import httpx2

        settings = client_settings(self._endpoint.api_key_env)
        transport = httpx2.AsyncHTTPTransport(
            uds=None if self._served is None else str(self._served.socket),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None),
            trust_env=False,
            verify=settings["verify"],
        )
        return httpx2.AsyncClient(base_url=self._url, transport=transport, timeout=None, **settings)

    def peak_gpu_memory(self) -> float | None:
        """None: the server holds the model."""
        return None

    def close(self) -> None:
        """End the server that we started. Safe to call twice."""
        if self._served is not None:
            self._served.close()


async def _send(
    client: httpx2.AsyncClient,
    method: str,
    path: str,
    timeout_s: float,
    endpoint: EndpointConfig,
    body: dict[str, Any] | None = None,
) -> bytes:
    """The body of a successful answer; raises Unanswered."""
    import httpx2

    data = bytearray()
    try:
        async with asyncio.timeout(timeout_s), client.stream(method, path, json=body) as response:
            async for chunk in response.aiter_bytes():
                data += chunk
                if len(data) > LARGEST_REFUSAL and not response.is_success:
                    break
                if len(data) > LARGEST_ANSWER:
                    raise Unanswered("flooded")
    except (httpx2.HTTPError, OSError) as error:
        raise broken(error) from None
    if not response.is_success:
        raise refusal(response.status_code, response.headers, bytes(data), endpoint.api_key_env)
    return bytes(data)


def _models(data: bytes) -> dict[str, int | None]:
    """Name to context of the models in an answer to `/models`; empty where it says nothing of the kind."""
    listed = parsed(data).get("data")
    models: dict[str, int | None] = {}
    for row in listed if isinstance(listed, list) else ():
        if isinstance(row, dict) and isinstance(row.get("id"), str):
            context = row.get("max_model_len")
            models[row["id"]] = context if type(context) is int and context > 0 else None
    return models


def _check_key(endpoint: EndpointConfig) -> None:
    name = endpoint.api_key_env
    if name is not None and not os.environ.get(name):
        raise ConfigError(
            f"engine.endpoint.api_key_env names {name}, which is not set; export {name} with the key of "
            f"{endpoint.url}"
        )


def _refused_key(where: str, endpoint: EndpointConfig, failure: Unanswered) -> ConfigError:
    status = failure.reason.removeprefix("refused_")
    name = endpoint.api_key_env
    key = f"the key in {name}" if name else "a request without a key"
    return ConfigError(
        f"{where} refuses {key} (status {status}); set engine.endpoint.api_key_env, or the key"
    )


def _too_long(asked: Asked) -> Completion:
    reason = FinishReason.PROMPT_TOO_LONG
    return Completion(asked.request.request_id, "", reason, len(asked.prompt), 0, None, 0.0)
