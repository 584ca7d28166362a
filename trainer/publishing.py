"""Puts a bundle on the Hub as a model repository: one commit with exactly the bundle's files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from trainer.runtime.bundle import MANIFEST, Bundle

if TYPE_CHECKING:
    from huggingface_hub import HfApi

TOKEN = "HF_TOKEN"
"""The environment variable with a token that may write; no other place is looked at."""
_ALWAYS = {".gitattributes"}
"""What the Hub puts into every repository itself."""


class Published(NamedTuple):
    """What was put there, or would have been."""

    url: str
    commit: str
    """Empty after a dry run."""
    files: int
    nbytes: int


def publish(
    folder: Path, repo: str, *, private: bool = False, tag: str = "", dry_run: bool = False, message: str = ""
) -> Published:
    """Uploads a bundle.

    Args:
        folder: the bundle; it is loaded first, so that only one that works is published.
        repo: ``owner/name``; made where there is none.
        private: make a new repository private; a public one is refused.
        tag: of the commit; one that is there already is refused.
        dry_run: ask the Hub nothing, and say what would be sent.
        message: of the commit; the bundle's name without.

    ValueError, one line without the token, for a missing token or package, a repository that holds something else, and
    whatever the Hub refuses.
    """
    bundle = Bundle.load(folder)
    names = [*bundle.manifest.files, MANIFEST]
    size = sum((folder / name).stat().st_size for name in names)
    if dry_run:
        return Published(f"https://huggingface.co/{repo}", "", len(names), size)
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ImportError:
        raise ValueError("publishing needs a package that is not installed; run: pip install huggingface_hub") from None
    token = os.environ.get(TOKEN, "")
    if not token:
        raise ValueError(f"publishing needs a token that may write; set {TOKEN} (https://hf.co/settings/tokens)")
    api = HfApi(token=token)
    try:
        _prepare(api, repo, private, tag)
        sent = api.upload_folder(
            repo_id=repo,
            folder_path=folder,
            allow_patterns=names,
            delete_patterns="*",
            commit_message=message or f"{bundle.manifest.name}: bundle version {bundle.manifest.version}",
        )
        if tag:
            api.create_tag(repo, tag=tag, revision=sent.oid)
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0].replace(token, "***")
        raise ValueError(
            f"the Hub refuses {repo}: {first}; check the name, the token's rights and the network"
        ) from None
    return Published(f"{api.endpoint}/{repo}", sent.oid, len(names), size)


def _prepare(api: HfApi, repo: str, private: bool, tag: str) -> None:
    """Makes the repository, or looks whether the one there may be written to."""
    api.create_repo(repo, private=private, exist_ok=True)
    if private and not api.repo_info(repo).private:
        raise ValueError(f"{repo} is public already; make it private on the Hub, or publish without --private")
    there = set(api.list_repo_files(repo)) - _ALWAYS
    if there and MANIFEST not in there:
        raise ValueError(f"{repo} holds something else than a bundle ({sorted(there)[0]}, ...); take another name")
    if tag and any(ref.name == tag for ref in api.list_repo_refs(repo).tags):
        raise ValueError(f"{repo} has a tag {tag} already; take another")
