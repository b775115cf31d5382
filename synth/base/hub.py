"""The Hugging Face Hub: whether we may go there, and how a folder gets there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

from synth.base.errors import UserError

HEAVY = (".parquet", ".tar", ".safetensors", ".pt")
"""Endings of files whose being there already means that a repository holds something else."""
CHECKLIST = (
    "What its publishers had to settle before: the checklist in `docs/how-to/data-manager.md` of visionclip."
)
"""A line of every card."""


def repository_card(kind: Literal["model", "dataset"], front: Mapping[str, object], body: str) -> str:
    """The README of a repository: `front` as its YAML front matter, checked as the hub does, then Markdown."""
    from huggingface_hub import DatasetCard, ModelCard
    from huggingface_hub.repocard_data import CardData

    card = ModelCard if kind == "model" else DatasetCard
    return str(card(f"---\n{CardData(**cast(dict[str, Any], front)).to_yaml()}\n---\n{body}"))


def check_repo(repo: str) -> None:
    """Refuse what is no NAME/REPO."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError:
        repo_is_named = False
    else:
        repo_is_named = "/" in repo
    if not repo_is_named:
        raise UserError(f"repository '{repo}': write it as NAME/REPO, of letters, digits, '-', '_' and '.'")


def check_hub() -> str:
    """The hub's address, if we may go there and have a token."""
    from huggingface_hub import constants, get_token

    if constants.HF_HUB_OFFLINE:
        raise UserError("HF_HUB_OFFLINE=1 keeps everything off the network; push with HF_HUB_OFFLINE=0")
    if not get_token():
        raise UserError(f"no token for {constants.ENDPOINT}; set HF_TOKEN, or log in with 'hf auth login'")
    return constants.ENDPOINT


def upload(folder: Path, repo: str, kind: str, private: bool, files: list[str], message: str) -> str:
    """Make the repository if need be, and send what it lacks; returns the commit.

    Args:
        kind:    `model` or `dataset`.
        files:   paths below `folder`.
        message: of the commit.

    Raises:
        UserError: the hub refuses or cannot be reached, or the repository is public or holds other data.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    # Of httpx or of httpx2, whichever this version of the client is built on.
    unreachable: type[Exception] = cast(Any, HfHubHTTPError.__mro__[1])
    api = HfApi(library_name="visionclip")
    remedy = "repeat the command to continue"
    try:
        api.create_repo(repo, repo_type=kind, private=private or None, exist_ok=True)
        there = api.model_info(repo) if kind == "model" else api.dataset_info(repo)
        if private and not there.private:
            raise UserError(
                f"repository '{repo}': exists and is public; make it private there, or choose another"
            )
        others = {file.rfilename for file in there.siblings or ()} - set(files)
        foreign = sorted(name for name in others if name.endswith(HEAVY))
        if foreign:
            raise UserError(
                f"repository '{repo}': holds other data ({foreign[0]}); delete it there, or choose another"
            )
        sent = api.upload_folder(
            repo_id=repo,
            folder_path=folder,
            repo_type=kind,
            allow_patterns=files,
            commit_message=message,
        )
    except HfHubHTTPError as error:
        reason = error.server_message or str(error).splitlines()[0]
        raise UserError(
            f"repository '{repo}': {api.endpoint} answers {error.response.status_code} ({reason})"
        ) from None
    except unreachable as error:
        raise UserError(f"{api.endpoint}: cannot be reached ({error}); {remedy}") from None
    except RuntimeError as error:  # of a single file, from the uploading threads
        raise UserError(
            f"repository '{repo}': upload broke off ({str(error).splitlines()[0]}); {remedy}"
        ) from None
    return sent.oid
