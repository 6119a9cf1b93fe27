"""Which engine writes, and how it is run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import field_validator, model_validator

from pipeline.config.section import Section, option
from pipeline.config.servers import KEY_NAME, checked_key_name, checked_url
from pipeline.identity import text_hash

OURS = frozenset(
    {"model", "prompt", "messages", "n", "stream", "seed", "temperature", "top_p", "top_k", "max_tokens"}
    | {"stop", "stop_token_ids"}
)
"""Fields of a request that the pipeline fills in, so that `further` cannot."""


class EndpointConfig(Section):
    """An OpenAI-compatible server: vLLM's, SGLang, llama.cpp, hosted ones.

    Proxies named in the environment are not used, and redirects are not followed.
    """

    serve: bool = option(False)
    """Start `vllm serve` on each round's model, on a socket that only this user can open. `star run` keeps
    it from stage to stage while the model stays the same, and ends it before training and however the run
    ends. Under Airflow, and with `star stage`, each stage that writes starts its own."""
    url: str | None = option(None)
    """A server that runs already, with its version path: `http://127.0.0.1:8000/v1`. Its model takes the
    place of the base and is the same in every round, so it can be measured (`rounds: 0`) but not trained: of
    `model.base` only the tokenizer is read."""
    model: str | None = option(None, min_length=1)
    """What the server at `url` calls its model. Attempts have `endpoint:MODEL@DIGEST-OF-THE-URL` as model
    hash."""
    api_key_env: str | None = option(None, pattern=KEY_NAME, execution=True)
    """Name of the environment variable that holds the key of the server at `url`. The key itself is never in
    a config."""
    api: Literal["tokens", "text", "chat"] = option("tokens")
    """How prompts are sent. `tokens`: token ids to `/completions`, with all sampling fields that vLLM, SGLang
    and llama.cpp know. `text`: the text to `/completions`; `chat`: as one user message to
    `/chat/completions`, both with the fields that OpenAI documents (and `top_k` where it is set)."""
    further: Mapping[str, Any] = option(default_factory=dict)
    """Further fields of every request, where a server has more (`{repetition_penalty: 1.0}`)."""
    timeout_s: float = option(600.0, gt=0, execution=True)
    """Seconds for one completion."""
    retries: int = option(8, ge=0, execution=True)
    """How often a completion is asked for again after a refusal for load (429, 5xx), a timeout, a broken
    connection or an answer that cannot be read. After that the run stops, with all that was written kept."""
    backoff_s: float = option(1.0, gt=0, execution=True)
    """First pause before asking again, in seconds; doubled each time up to 60, with jitter. `Retry-After` is
    obeyed instead, up to 10 minutes."""

    @field_validator("url")
    @classmethod
    def _without_a_secret(cls, url: str | None) -> str | None:
        return None if url is None else checked_url(url)

    @field_validator("api_key_env", mode="before")
    @classmethod
    def _a_name_and_no_key(cls, name: object) -> object:
        return checked_key_name(name)

    @field_validator("further")
    @classmethod
    def _not_ours(cls, further: Mapping[str, Any]) -> Mapping[str, Any]:
        if both := sorted(OURS & further.keys()):
            raise ValueError(f"{', '.join(both)} is set from the rest of the config; leave it out here")
        return further

    @model_validator(mode="after")
    def _one_server(self) -> EndpointConfig:
        if self.serve == (self.url is not None):
            raise ValueError("set one of engine.endpoint.serve: true and engine.endpoint.url")
        if (self.model is None) == (self.url is not None):
            raise ValueError("engine.endpoint.model is the name at engine.endpoint.url: set both or neither")
        if self.serve and (self.api_key_env is not None or self.api != "tokens"):
            raise ValueError("engine.endpoint.serve takes tokens and needs no key; drop api and api_key_env")
        return self

    @property
    def model_hash(self) -> str | None:
        """What stands for the content hash of the model at `url`; None where we serve a model ourselves."""
        if self.url is None:
            return None
        where = text_hash(self.url.rstrip("/"))[:12]
        return f"endpoint:{self.model}@{where}"


class EngineConfig(Section):
    """The engine that turns prompts into completions."""

    kind: Literal["auto", "vllm", "transformers", "openai", "scripted"] = option("auto")
    """`auto` takes vllm where a CUDA device and vllm are at hand, else transformers. `openai` asks the server
    that `endpoint` describes. `scripted` replays the texts of `script` (for tests of what is not the model);
    its rows say so."""

    endpoint: EndpointConfig | None = option(None, later=True)
    """The server of `openai`."""

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = option("auto")
    """Weights in memory. `auto`: bfloat16 on a GPU, float32 on a CPU."""

    max_model_len: int | None = option(None, ge=16)
    """Context in tokens, prompt and completion together. None: what the model's config says."""

    script: str | None = option(None)
    """JSON Lines for `scripted`: rows `{problem_id, origin, texts: [...], finish_reason?}`; sample i gets
    text i modulo their number. A problem without a row gets an empty text."""

    device: Literal["auto", "cpu", "cuda"] = option("auto", execution=True)
    """Where it runs."""

    batch_size: int = option(128, execution=True, ge=1)
    """Requests per batch of the transformers engine; `max_num_seqs` of vllm; of openai the most requests on
    their way at once: from 8 their number grows while a token takes less than twice its best time, and halves
    when the server refuses for load or is too slow."""

    threads: int = option(1, execution=True, ge=1)
    """CPU threads of the engine, where there is no GPU. One a process is safe on a shared machine."""

    tensor_parallel: int = option(1, execution=True, ge=1)
    """GPUs one vllm engine spreads a model over."""

    gpu_memory_utilization: float = option(0.9, execution=True, gt=0, le=1)
    """Share of the GPU's memory that vllm may take."""

    prefix_caching: bool = option(True, execution=True)
    """Keep the key-value cache of the shared few-shot prefix (vllm)."""

    enforce_eager: bool = option(False, execution=True)
    """Skip vllm's compilation: starts faster, writes slower."""

    flush_every: int = option(64, execution=True, ge=1)
    """Completions written to a part file at once where the engine hands them on one by one (vllm, openai)."""

    @model_validator(mode="after")
    def _endpoint_of_openai(self) -> EngineConfig:
        if (self.kind == "openai") != (self.endpoint is not None):
            raise ValueError("engine.kind is openai exactly when engine.endpoint describes the server")
        return self

    @property
    def foreign_hash(self) -> str | None:
        """The model hash of a server that runs already; None where the pipeline has the weights itself."""
        return None if self.endpoint is None else self.endpoint.model_hash
