"""Publishing a finished dataset on the Hugging Face Hub.

Large files are uploaded first and are invisible; then one commit brings every new and changed file in and takes the
stale ones out, on the condition that the branch has not moved. So a branch holds the old release or the new one, never
a part. Nothing is remembered on this machine: a run that was killed is run again, and what the Hub has (whole files by
their SHA-256, chunks where it stores chunks) is not sent twice. The tag comes last.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from datagen.publishing.faults import Patience, Refused, Say
from datagen.publishing.hub import Hub, Options, Published
from datagen.publishing.release import Release, read_release
from datagen.publishing.remote import Changes, Remote, changes
from datagen.publishing.terms import withheld

__all__ = ["Options", "Patience", "Preview", "Published", "Refused", "preview", "publish"]

_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_REF = re.compile(r"[A-Za-z0-9][\w./-]*")


@dataclass(frozen=True)
class Preview:
    """What publishing would do."""

    release: Release
    remote: Remote
    changes: Changes
    unasked: str
    """Why the Hub was not asked, so that everything counts as new; empty where it was."""


def publish(folder: str, repo: str, options: Options, say: Say) -> Published:
    """Publishes the dataset in a folder as ``repo`` (organisation/name) and compares what is there with it.

    ``say`` is told of progress, a line at a time. ValueError (one line) for what has to be put right first,
    ConnectionError where another try may help.
    """
    release = _release(folder, repo, options)
    for note in release.notes:
        say(f"note: {note}")
    return Hub(repo, options, say).publish(release)


def preview(folder: str, repo: str, options: Options) -> Preview:
    """What ``publish`` would do, and the refusals it would end in; writes nothing anywhere.

    Without a token or a connection the Hub is not asked.
    """
    release = _release(folder, repo, options)
    try:
        hub = Hub(repo, options, lambda _: None)
        remote = hub.look(release)
    except (Refused, ConnectionError) as error:
        return Preview(release, Remote(), changes(release, Remote(), replace=False), str(error))
    return Preview(release, remote, hub.check(release, remote), "")


def _release(folder: str, repo: str, options: Options) -> Release:
    """The release, as far as it can be judged without the Hub."""
    if not _REPO.fullmatch(repo) or len(repo) > 96:
        raise ValueError(f"repository {repo!r}: give it as organisation/name, letters, digits, '-', '_' and '.' alone")
    for what, name in (("tag", options.tag), ("revision", options.revision)):
        if name and not _REF.fullmatch(name):
            raise ValueError(f"{what} {name!r}: letters, digits, '.', '_', '-' and '/' alone, such as v1.0")
    try:
        from huggingface_hub import constants
    except ImportError:
        raise ValueError("publish needs a package that is not installed; run: pip install 'duplexkit[hub]'") from None
    release = read_release(folder, repo, f"{constants.ENDPOINT}/datasets/{repo}", options.new_card)
    reason = "" if options.private else withheld(release.licences, release.forbidden)
    if reason:
        raise ValueError(
            f"{folder} must not be published: {reason}; build it without what is under it, or keep it in a private "
            "repository with --private"
        )
    return release
