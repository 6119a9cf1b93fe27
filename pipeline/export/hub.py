"""An exported folder to the Hugging Face hub, where somebody asks for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pipeline.engines.weights import one_line
from pipeline.errors import ConfigError, StarError

RepoKind = Literal["dataset", "model"]


def require_pushable(repo: str) -> None:
    """ConfigError where a push to `repo` cannot work: the name, offline mode, no token. Contacts nobody."""
    from huggingface_hub import constants, get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise ConfigError(f"--push {repo!r}: {one_line(error)}; expected owner/name") from None
    if constants.is_offline_mode():
        name = next(name for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE") if os.environ.get(name))
        raise ConfigError(
            f"--push {repo}: {name} is set, so nothing may be contacted; unset it, or leave --push out "
            "and upload the folder later with `hf upload`"
        )
    if get_token() is None:
        raise ConfigError(
            f"--push {repo}: there is no token of the Hugging Face hub; log in with `hf auth login`, or set "
            "HF_TOKEN to a token that may write"
        )


def push(folder: Path, repo: str, kind: RepoKind, *, private: bool) -> str:
    """Upload what `folder` holds in one commit and return its address.

    A repository that does not exist is made, private or not; one that exists keeps its visibility and its
    other files. StarError where the hub did not take it, with the command that tries again.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # its client's

    api = HfApi(library_name="star")
    try:
        api.create_repo(repo, repo_type=kind, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo, repo_type=kind, folder_path=folder, commit_message="star export"
        )
    except (HTTPError, OSError, ValueError) as error:
        option = " --repo-type dataset" if kind == "dataset" else ""
        raise StarError(
            f"{repo} was not pushed: {one_line(error)}; the folder is complete: "
            f"`hf upload {repo} {folder}{option}` tries again"
        ) from error
    return str(commit.commit_url)
