"""Generation, hinted, evaluation and training prompts; chat or plain; and where a text ends."""

from pipeline.prompts.book import ChatRenderer, PromptBook
from pipeline.prompts.cutting import cut_text

__all__ = ["ChatRenderer", "PromptBook", "cut_text"]
