"""Make a tiny base once and find it again: a folder named by the digest of its config and recipe."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config.tiny_base import ColumnAdditionBase, TextBase, TinyShape
from pipeline.errors import DataError
from pipeline.identity import digest
from pipeline.progress import Progress
from pipeline.tiny_base.column_corpus import WORDS, ColumnCorpus
from pipeline.tiny_base.facts import known_facts, probe_facts, write_facts
from pipeline.tiny_base.pretrain import Document, new_model, pretrain
from pipeline.tiny_base.text_corpus import TextCorpus, tokenizer_texts
from pipeline.tiny_base.tokenizers import byte_tokenizer, word_tokenizer

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

RECIPE_VERSION = 3
"""Part of the digest: raise it when corpus, loop or tokenizer change, so that cached bases are made anew."""

PROBE_TOKENS = 12


def base_folder(config: ColumnAdditionBase | TextBase, bases: Path) -> Path:
    """Where the base that `config` describes lies, whether or not it has been made."""
    name = f"{config.kind.replace('_', '-')}-{digest([RECIPE_VERSION, config.model_dump(mode='json')])[:16]}"
    return bases / name


def base_tokenizer(config: ColumnAdditionBase | TextBase) -> PreTrainedTokenizerFast:
    """The tokenizer that the base of `config` gets; nothing is pretrained for it."""
    if config.kind == "column_addition":
        return word_tokenizer(WORDS, config.context)
    return byte_tokenizer(
        tokenizer_texts(config), config.vocabulary, config.context, pad_is_eos=config.pad_is_eos
    )


def ensure_tiny_base(config: ColumnAdditionBase | TextBase, bases: Path, progress: Progress) -> Path:
    """The folder of the base that `config` describes, pretrained now if it is not there yet.

    It holds safetensors weights, tokenizer and generation config (as `save_pretrained` writes them) and, for
    column addition, `facts.json`. Equal configs give equal bytes on one machine. The folder appears whole or
    not at all; two processes may make the same one at once, and one of the results stays.
    """
    folder = base_folder(config, bases)
    name = folder.name
    if folder.is_dir():
        return folder
    bases.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(bases, name)
    temporary = bases / f".{name}.tmp{os.getpid()}"
    temporary.mkdir()
    try:
        with _one_thread():
            if config.kind == "column_addition":
                _build_column_addition(config, temporary, progress)
            else:
                _build_text(config, temporary, progress)
        _publish(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def pretrain_words(
    document: Callable[[], tuple[str, str]],
    words: Sequence[str],
    shape: TinyShape,
    folder: Path,
    progress: Progress,
) -> None:
    """Pretrain a small base on documents of your own and save it as a folder that `model.base` can name.

    `document` draws a prompt and what follows it, as plain prompts of the pipeline will ask for them: words
    separated by single spaces, without an end token, which is added. `words` are all there are, one token
    each. Raises DataError for a document with another word: the model could neither read nor write it.
    """
    tokenizer = word_tokenizer(words, shape.context)
    model = new_model(shape, tokenizer)
    with _one_thread():
        pretrain(model, lambda: _known_words(document(), tokenizer), shape, progress)
    folder.mkdir(parents=True, exist_ok=True)
    _save(model, tokenizer, folder)


def _build_column_addition(config: ColumnAdditionBase, folder: Path, progress: Progress) -> None:
    tokenizer = base_tokenizer(config)
    model = new_model(config, tokenizer)
    known = known_facts(config)
    corpus = ColumnCorpus(config, known)
    progress.note(
        f"pretraining a base of {model.num_parameters():,} parameters that is taught {len(known)} of the "
        "100 digit sums (once; kept for later runs)"
    )
    pretrain(model, lambda: _word_document(corpus.document(), tokenizer), config, progress)
    probe = probe_facts(lambda questions: _write_greedily(model, tokenizer, questions), known)
    progress.note(f"the base: {probe.sentence}")
    _save(model, tokenizer, folder)
    write_facts(folder, known, probe)


def _build_text(config: TextBase, folder: Path, progress: Progress) -> None:
    tokenizer = base_tokenizer(config)
    model = new_model(config, tokenizer)
    corpus = TextCorpus(config)
    pretrain(model, lambda: _text_document(corpus, tokenizer, config.context), config, progress)
    _save(model, tokenizer, folder)


def _word_document(document: tuple[str, str], tokenizer: PreTrainedTokenizerFast) -> Document:
    prompt, completion = document
    scored = [*_ids(tokenizer, completion), tokenizer.eos_token_id]
    return Document(_ids(tokenizer, prompt) + scored, len(scored))


def _known_words(document: tuple[str, str], tokenizer: PreTrainedTokenizerFast) -> Document:
    """The document of `pretrain_words`; DataError where it has a word that is no token."""
    made = _word_document(document, tokenizer)
    if tokenizer.unk_token_id in made.ids:
        known = tokenizer.get_vocab()
        word = next(word for word in " ".join(document).split() if word not in known)
        raise DataError(
            f"the document {' '.join(document)!r} has the word {word!r}, which is not among the "
            f"{len(known) - len(tokenizer.all_special_tokens)} words of the base; add it to `words`"
        )
    return made


def _text_document(corpus: TextCorpus, tokenizer: PreTrainedTokenizerFast, context: int) -> Document:
    """A document no longer than the context: what does not fit is drawn again."""
    while True:
        prompt, completion = corpus.document()
        scored = _ids(tokenizer, completion)
        ids = _ids(tokenizer, prompt) + scored
        if len(ids) <= context:
            return Document(ids, len(scored))


def _ids(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    encoding = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
    return list(encoding.ids)


def _write_greedily(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, questions: Sequence[str]
) -> list[str]:
    """Greedy completions of one-column questions, which all have the same length: no padding needed."""
    import torch

    prompts = torch.tensor([_ids(tokenizer, f"Q: {question} A:") for question in questions])
    with torch.inference_mode():
        written = model.generate(
            input_ids=prompts,
            attention_mask=torch.ones_like(prompts),
            max_new_tokens=PROBE_TOKENS,
            do_sample=False,
        )
    return [str(tokenizer.decode(row, skip_special_tokens=True)) for row in written[:, prompts.shape[1] :]]


def _save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    from transformers import GenerationConfig
    from transformers.utils import logging

    logging.disable_progress_bar()  # a bar for a fraction of a second, in every log
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _publish(temporary: Path, folder: Path) -> None:
    """Rename into place; if another process was first, its result stays and ours goes."""
    try:
        os.rename(temporary, folder)
    except OSError:
        if not folder.is_dir():
            raise


def _remove_abandoned(bases: Path, name: str) -> None:
    """Remove what killed processes left half made."""
    for leftover in bases.glob(f".{name}.tmp*"):
        if not _is_alive(int(leftover.name.rpartition("tmp")[2])):
            shutil.rmtree(leftover, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid != os.getpid()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Pretrain on one CPU thread: repeatable, and several times faster than two on a busy machine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
