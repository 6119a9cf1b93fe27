"""Text to token ids and back, the same for every engine and for the training rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.engines.weights import one_line
from pipeline.errors import ConfigError, ModelLoadError
from pipeline.records import Message

_PROBE = "sentinel7391"  # an assistant turn that no template writes by itself


class Tokenizer:
    """A Hugging Face tokenizer with this project's rules about special tokens.

    `end_id` ends a completion and is trained: the tokenizer's EOS, or with `chat` the end-of-turn token that
    the chat template puts after an assistant message. `stop_ids` are all ids that end generation: `end_id`,
    EOS and what the model's generation config names. `pad_id` may equal `end_id`.
    """

    def __init__(self, backend: Any, *, chat: bool, further_stop_ids: Sequence[int] = ()) -> None:
        self._backend = backend
        self.chat = chat
        self._special: dict[str, int] = {
            token.content: int(index)
            for index, token in backend.added_tokens_decoder.items()
            if token.special
        }
        self.eos_id: int = backend.eos_token_id
        self.end_id: int = self._end_of_turn() if chat else self.eos_id
        self.stop_ids: frozenset[int] = frozenset({self.end_id, self.eos_id, *further_stop_ids})
        self.pad_id: int = self.eos_id if backend.pad_token_id is None else backend.pad_token_id
        self.size: int = len(backend)

    def encode_prompt(self, text: str) -> list[int]:
        """Ids of a prompt; a plain prompt gets the tokenizer's special tokens (BOS where it has one),
        chat-rendered text already contains them."""
        return self.encode_prompts([text])[0]

    def encode_prompts(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode_prompt` for many texts at once."""
        if not texts:
            return []
        rows: list[list[int]] = self._backend(list(texts), add_special_tokens=not self.chat)["input_ids"]
        if self.chat:
            return rows
        end = str(self._backend.eos_token)
        # Some tokenizers append EOS to every text: a prompt that ends so is a finished document.
        return [
            row[:-1] if row and row[-1] == self.eos_id and not text.rstrip().endswith(end) else row
            for row, text in zip(rows, texts, strict=True)
        ]

    def encode_completion(self, text: str) -> list[int]:
        """Ids of what follows a prompt, without any special token (the caller adds `end_id`)."""
        ids: list[int] = self._backend(text, add_special_tokens=False)["input_ids"]
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids; special tokens are skipped, spaces left as they are."""
        text: str = self._backend.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def pieces(self) -> list[str]:
        """The text of each id alone, special tokens included (index = id)."""
        texts: list[str] = self._backend.batch_decode(
            [[index] for index in range(self.size)], clean_up_tokenization_spaces=False
        )
        return texts

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """The vocabulary's names of ids, for display."""
        names: list[str] = self._backend.convert_ids_to_tokens(list(ids))
        return names

    def special_id(self, text: str) -> int | None:
        """The id of `text` if it is one special token, else None: such a stop never shows in decoded text."""
        return self._special.get(text)

    def stop_ids_with(self, stop: Sequence[str]) -> frozenset[int]:
        """`stop_ids` and those of the stop strings that are special tokens."""
        return self.stop_ids | {self._special[text] for text in stop if text in self._special}

    def render_chat(self, messages: list[Message]) -> str:
        """The chat template over `messages`, ending with the header of the assistant's turn."""
        return self._render(messages, open_turn=True)

    def save(self, folder: Path) -> None:
        """Write the tokenizer's files into `folder`, chat template included."""
        self._backend.save_pretrained(folder)

    def _render(self, messages: list[Message], *, open_turn: bool) -> str:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        text: str = self._backend.apply_chat_template(turns, tokenize=False, add_generation_prompt=open_turn)
        return text

    def _end_of_turn(self) -> int:
        """The first special token that the template writes after an assistant message, else EOS."""
        rendered = self._render([Message("user", "x"), Message("assistant", _PROBE)], open_turn=False)
        rest = rendered.rpartition(_PROBE)[2]
        special = set(self._special.values())
        return next((index for index in self.encode_completion(rest) if index in special), self.eos_id)


def load_tokenizer(path: Path, *, chat: bool) -> Tokenizer:
    """The tokenizer in a local model folder.

    ModelLoadError where it cannot be read or has no EOS; ConfigError where `chat` is asked of a tokenizer
    without a chat template.
    """
    backend = _load_backend(path)
    if backend.eos_token_id is None:
        raise ModelLoadError(
            f"the tokenizer in {path} names no end-of-sequence token, so a completion could never end; "
            "set eos_token in its tokenizer_config.json"
        )
    if chat and not backend.chat_template:
        raise ConfigError(
            f"prompts.chat is on, but the tokenizer in {path} has no chat template; "
            "set prompts.chat: false, or take a model with a template (an instruct model)"
        )
    return Tokenizer(backend, chat=chat, further_stop_ids=_generation_stop_ids(path))


def _load_backend(path: Path) -> Any:
    if not path.is_dir():
        raise ModelLoadError(f"no model folder at {path}; tried to read its tokenizer")
    try:
        if _names_the_plain_class(path):
            from transformers import TokenizersBackend as Loader
        else:
            from transformers import AutoTokenizer as Loader
        return Loader.from_pretrained(str(path), local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError, AttributeError, TypeError) as error:
        found = ", ".join(sorted(item.name for item in path.iterdir())) or "nothing"
        raise ModelLoadError(
            f"cannot load a tokenizer from {path} (trust_remote_code is off): {one_line(error)}. "
            f"Found in the folder: {found}; expected tokenizer.json and tokenizer_config.json"
        ) from error


def _names_the_plain_class(path: Path) -> bool:
    """Whether AutoTokenizer would take TokenizersBackend, which needs no torch: `select` is spared 3 s."""
    settings = path / "tokenizer_config.json"
    if not settings.is_file() or not (path / "tokenizer.json").is_file() or (path / "tekken.json").is_file():
        return False
    named = json.loads(settings.read_text(encoding="utf-8"))
    return named.get("tokenizer_class") == "TokenizersBackend" and "auto_map" not in named


def _generation_stop_ids(path: Path) -> list[int]:
    """End-of-sequence ids of generation_config.json, or of config.json where there is none."""
    for name in ("generation_config.json", "config.json"):
        file = path / name
        if file.is_file():
            ids = json.loads(file.read_text(encoding="utf-8")).get("eos_token_id")
            if ids is None:
                return []
            return [ids] if isinstance(ids, int) else [int(index) for index in ids]
    return []
