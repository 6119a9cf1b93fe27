"""Pretrains the small local bases of the demo and the tests: no weights to download, no network."""

from pipeline.tiny_base.build import (
    RECIPE_VERSION,
    base_folder,
    base_tokenizer,
    ensure_tiny_base,
    pretrain_words,
)
from pipeline.tiny_base.facts import FactProbe, known_facts, probe_facts, read_facts

__all__ = [
    "RECIPE_VERSION",
    "FactProbe",
    "base_folder",
    "base_tokenizer",
    "ensure_tiny_base",
    "known_facts",
    "pretrain_words",
    "probe_facts",
    "read_facts",
]
