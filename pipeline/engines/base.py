"""What an engine is: requests in, completions out as they finish."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from pipeline.records import Completion, Request, Sampling


class Engine(Protocol):
    """Turns requests into completions. `kind`, `model_hash`, `device` and `versions` say who wrote a row.

    `context` is the number of tokens that prompt and completion may fill together. An engine that `mixes`
    takes requests while it writes others, and requests of different samplings together; one of fixed batches
    does not, since other neighbours would make other texts.
    """

    kind: str
    model_hash: str
    device: str
    versions: dict[str, str]
    context: int
    mixes: bool

    def groups(self, requests: Sequence[Request]) -> list[tuple[Request, ...]]:
        """Sets that must be asked for whole for results to repeat bit by bit; a function of the full list.

        Floating-point results depend on what else is in a batch, so a batch killed half-way is asked again
        as a whole. One request each where the engine promises no such thing.
        """

    def complete(
        self, groups: Iterable[tuple[Request, ...] | None], sampling: Sampling
    ) -> Iterator[list[Completion]]:
        """Whole groups as they finish, in any order; several finished groups may come in one list.

        An engine that `mixes` asks for the next group when it has room for it. None in its place says that
        there is none yet: what is finished is then soon handed on, and an empty list where nothing is being
        written, so that the caller gets a turn.
        """

    def peak_gpu_memory(self) -> float | None:
        """MiB of GPU memory that it has held at the most; None without a GPU."""

    def close(self) -> None:
        """Free the model's memory. Safe to call twice."""
