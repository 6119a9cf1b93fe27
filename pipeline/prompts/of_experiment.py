"""The prompt book of an experiment, with a book within it for each source that has prompts of its own."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.config.experiment import ExperimentConfig
from pipeline.config.of_source import own_prompts
from pipeline.problems.exemplars import exemplar_of
from pipeline.prompts.book import ChatRenderer, PromptBook
from pipeline.records import Exemplar


def book_of(
    config: ExperimentConfig,
    exemplars: Sequence[Exemplar],
    hinted_exemplars: Sequence[Exemplar],
    chat: ChatRenderer | None,
) -> PromptBook:
    """As a PromptBook of `config.prompts`; a source without exemplars of its own is shown those given."""
    books: dict[str, PromptBook] = {}
    for name, own in own_prompts(config).items():
        texts = own.model_dump(exclude={"few_shot"}, exclude_none=True)
        layout = config.prompts.model_copy(update=texts)
        plain, hinted = exemplars, hinted_exemplars
        if own.few_shot is not None:
            where = f"problems.sources.{name}.prompts.few_shot"
            plain = hinted = [exemplar_of(one, f"{where}[{at}]") for at, one in enumerate(own.few_shot)]
        books[name] = PromptBook(layout, plain, hinted, chat)
    return PromptBook(config.prompts, exemplars, hinted_exemplars, chat, books)
