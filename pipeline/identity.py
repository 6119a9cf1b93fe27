"""Ids, seeds and digests: pure functions, so that a stage that runs again knows what it already has."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_MODULUS = 1 << 256


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text. NaN is refused (ValueError)."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=str
    )


def digest(value: Any) -> str:
    """64 hex characters of BLAKE2b over the canonical JSON of `value`."""
    return hashlib.blake2b(canonical_json(value).encode(), digest_size=32).hexdigest()


def text_hash(text: str) -> str:
    """32 hex characters of BLAKE2b of a text (prompts and the like)."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def norm_hash(text: str) -> str:
    """Hash of a text with case folded and runs of whitespace as one: equal for what reads the same."""
    return text_hash(re.sub(r"\s+", " ", text).strip().casefold())


def seed_of(seed: int, round_: int, origin: str, problem_id: str, sample: int) -> int:
    """A 63-bit seed of one sample.

    The experiment's name stays out, so that arms of an ablation are paired and Airflow equals the CLI.
    """
    key = canonical_json([seed, round_, origin, problem_id, sample]).encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") >> 1


def rationale_id(
    *,
    experiment: str,
    round_: int,
    origin: str,
    problem_id: str,
    sample: int,
    prompt_hash: str,
    sampling: Mapping[str, Any],
    seed: int,
    model_hash: str,
) -> str:
    """32 hex characters that name one attempt: the same inputs give the same id, others another."""
    key = [experiment, round_, origin, problem_id, sample, prompt_hash, dict(sampling), seed, model_hash]
    return digest(key)[:32]


def rows_digest(rows: Iterable[Mapping[str, Any]], leave_out: frozenset[str] = frozenset()) -> str:
    """Digest of a multiset of rows: independent of their order and of how they were split over shards.

    The sum of the rows' hashes modulo 2**256, so digests of shards combine with `combine_digests`.
    """
    total = 0
    for row in rows:
        kept = {name: value for name, value in row.items() if name not in leave_out}
        total += int(digest(kept), 16)
    return f"{total % _MODULUS:064x}"


def combine_digests(digests: Iterable[str]) -> str:
    """Digest of the union of disjoint row sets from their `rows_digest` values."""
    return f"{sum(int(value, 16) for value in digests) % _MODULUS:064x}"


def file_hash(path: Path) -> str:
    """64 hex characters of BLAKE2b over a file's bytes, read in 1 MiB steps."""
    running = hashlib.blake2b(digest_size=32)
    with path.open("rb") as handle:
        while chunk := handle.read(1 << 20):
            running.update(chunk)
    return running.hexdigest()


def tree_hash(folder: Path, names: Iterable[str]) -> str:
    """Content hash of the named files of a folder (weights, config, tokenizer): names and bytes only."""
    return digest({name: file_hash(folder / name) for name in sorted(names)})
