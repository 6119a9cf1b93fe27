"""Small bases that are pretrained on the spot, for the demo and for tests without weights or network."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.config.section import Section, option


class TinyShape(Section):
    """Size and optimisation shared by all tiny bases: a Llama with tied embeddings."""

    width: int = option(96, ge=8)
    layers: int = option(3, ge=1)
    heads: int = option(4, ge=1)
    ffn: int = option(192, ge=8)
    context: int = option(256, ge=32)
    """Positions."""
    steps: int = option(450, ge=0)
    """Optimizer steps of pretraining; 0 leaves random weights."""
    batch_size: int = option(48, ge=1)
    """Documents per step."""
    learning_rate: float = option(4e-3, gt=0)
    seed: int = option(0, ge=0)
    """Seed of weights and corpus."""


class ColumnAdditionBase(TinyShape):
    """Knows the procedure of column addition and some digit-sum facts; writes random digits for the
    others."""

    kind: Literal["column_addition"] = "column_addition"
    known_facts: int = option(40, ge=0, le=100)
    """Of the 100 ordered digit pairs, how many the base knows (drawn by seed)."""
    max_columns: int = option(5, ge=1, le=8)
    hinted_columns: int = option(2, ge=0)
    """The hint format is shown only for problems of up to this many columns."""


class TextBase(TinyShape):
    """A byte-level BPE model of plain text, for tests of the text path: it knows nothing worth the name."""

    kind: Literal["text"] = "text"
    vocabulary: int = option(512, ge=260)
    """Tokens at most: bytes, special tokens and as many merges as the small corpus gives (about 240)."""
    pad_is_eos: bool = option(True)
    """Whether padding and end of sequence are one token, as in many released tokenizers."""


TinyBase = Annotated[ColumnAdditionBase | TextBase, Field(discriminator="kind")]
