"""Where a base model lies, and what its content is called."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path

from pipeline.errors import ConfigError, ModelLoadError
from pipeline.identity import tree_hash

# What makes the model write what it writes, and nothing else: no cards, no lineage, no optimizer state.
_NAMES = frozenset(
    {
        "config.json",
        "adapter_config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "vocab.txt",
        "merges.txt",
        "chat_template.jinja",
        "chat_template.json",
    }
)
_SUFFIXES = (".safetensors", ".safetensors.index.json", ".model", ".tiktoken")
_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*(/[\w.-]+)?$")


def resolve_model(base: str, revision: str | None) -> Path:
    """The local folder of a base model: `base` itself where it is a folder, else a snapshot from the hub.

    Only safetensors, JSON and tokenizer files are fetched. ModelLoadError says what was tried and the remedy.
    """
    folder = Path(base).expanduser()
    if folder.is_dir():
        return _checked(folder.resolve(), base)
    if not _HUB_ID.fullmatch(base):
        raise ModelLoadError(
            f"model.base {base!r}: no folder at {folder.absolute()}, and it is not a hub id (owner/name) "
            "either; give the path of a folder with config.json and *.safetensors, or a hub id"
        )
    return _checked(_download(base, revision), base)


def resolve_tokenizer(base: str, revision: str | None) -> Path:
    """A local folder with the tokenizer of a base model; from the hub its weights are left there."""
    folder = Path(base).expanduser()
    return folder.resolve() if folder.is_dir() else _download(base, revision, weights=False)


def _download(base: str, revision: str | None, *, weights: bool = True) -> Path:
    import httpx2
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    suffixes = [suffix for suffix in _SUFFIXES if weights or "safetensors" not in suffix]
    wanted = sorted({*_NAMES, *(f"*{suffix}" for suffix in suffixes)})
    of = f" at revision {revision}" if revision else ""
    option = f" --revision {revision}" if revision else ""
    try:
        return Path(snapshot_download(base, revision=revision, allow_patterns=wanted))
    except (
        HfHubHTTPError,
        LocalEntryNotFoundError,
        HFValidationError,
        httpx2.HTTPError,
        OSError,
        ValueError,
    ) as error:
        offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
        why = "HF_HUB_OFFLINE is set" if offline else "the hub did not give it"
        raise ModelLoadError(
            f"model.base {base!r}{of} cannot be loaded. Tried: a folder of that name; the Hugging Face cache "
            f"and hub ({why}: {one_line(error)}). Remedy: with network, run `hf download {base}{option}`, "
            "bring the folder here, then set model.base to its path; for a gated model log in first"
        ) from error


def _checked(folder: Path, base: str) -> Path:
    present = {item.name for item in folder.iterdir()}
    if "config.json" not in present:
        raise ModelLoadError(
            f"model.base {base!r}: {folder} has no config.json; expected a Hugging Face model folder"
        )
    if not any(name.endswith(".safetensors") for name in present):
        pickled = sorted(name for name in present if name.endswith((".bin", ".pt", ".pth")))
        found = f" (found {', '.join(pickled)}, which can run code when read)" if pickled else ""
        raise ModelLoadError(
            f"model.base {base!r}: {folder} has no *.safetensors weights{found}; convert them with "
            "`model.save_pretrained(folder)` or take a revision that has them"
        )
    return folder


def hash_model(path: Path) -> str:
    """64 hex characters over weights, config and tokenizer files of a model folder: names and bytes.

    Remembered within this process while the files' sizes and times stay the same. ModelLoadError where the
    folder has none of these files.
    """
    names = content_names(path)
    if not names:
        raise ModelLoadError(f"no model files in {path}; expected config.json and *.safetensors")
    stats = [(path / name).stat() for name in names]
    return _hash(path.resolve(), tuple(names), tuple((stat.st_size, stat.st_mtime_ns) for stat in stats))


def content_names(path: Path) -> list[str]:
    """Names of the files that `hash_model` covers, sorted; none where there is no folder."""
    return sorted(item.name for item in path.iterdir() if _is_content(item)) if path.is_dir() else []


@lru_cache(maxsize=32)
def _hash(path: Path, names: tuple[str, ...], _marks: tuple[tuple[int, int], ...]) -> str:
    return tree_hash(path, names)


def _is_content(item: Path) -> bool:
    return item.is_file() and (item.name in _NAMES or item.name.endswith(_SUFFIXES))


def context_of(path: Path, max_model_len: int | None) -> int:
    """Tokens that prompt and completion may fill together: the model's positions, or `max_model_len`.

    ConfigError where `max_model_len` is more than the model has, or neither is known.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(str(path), local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ModelLoadError(f"cannot read config.json in {path}: {one_line(error)}") from error
    positions: int | None = getattr(config.get_text_config(decoder=True), "max_position_embeddings", None)
    if positions is None:
        if max_model_len is None:
            raise ConfigError(f"{path} names no max_position_embeddings; set engine.max_model_len")
        return max_model_len
    if max_model_len is not None and max_model_len > positions:
        raise ConfigError(
            f"engine.max_model_len is {max_model_len}, but the model in {path} has {positions} positions; "
            f"set it to at most {positions} or leave it out"
        )
    return max_model_len or positions


def one_line(error: BaseException) -> str:
    """A library's message without line breaks and indentation; the kind of error where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__
