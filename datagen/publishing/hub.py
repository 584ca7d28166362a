"""One repository on the Hub and the client that talks to it: look, upload, commit, compare, tag."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from datagen.publishing.faults import Patience, Refused, Say, Unequal, explained, hub_errors, persist
from datagen.publishing.release import Item, Release
from datagen.publishing.remote import KIND, Changes, Remote, changes, look, refusals, tree

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd

Result = TypeVar("Result")

TOGETHER = 8
"""Files uploaded in one go: enough for the client's five threads, few enough that a lost connection costs little."""
AT_FIRST = 2
"""Attempts to reach the Hub at all: somebody without a network should not wait a minute to hear of it."""


@dataclass(frozen=True)
class Options:
    """How to publish."""

    private: bool = False
    """Make the repository private where it is new; refuse where it is public."""
    revision: str = "main"
    """The branch; made where there is none."""
    tag: str = ""
    """A tag for the commit; one that is elsewhere already is not moved."""
    message: str = ""
    """Of the commit; empty: the dataset's name and size."""
    replace: bool = False
    """Take over a repository that holds something else, removing what is there."""
    new_card: bool = False
    """Write README.md again even where people have edited it."""
    patience: Patience = field(default_factory=Patience)


@dataclass(frozen=True)
class Published:
    """A release that is on the Hub, compared file by file."""

    url: str
    commit: str
    sent: int
    """Bytes of the new and changed files; the Hub may have had parts of them."""
    same: int
    """Bytes of the files that were there already."""


class Hub:
    """A repository, with what this run has uploaded to it."""

    def __init__(self, repo: str, options: Options, say: Say) -> None:
        """Refused without a token. Nothing is asked of the Hub yet."""
        from huggingface_hub import HfApi, get_token

        token = get_token()
        if not token:
            raise Refused("no token for the Hugging Face Hub; set HF_TOKEN, or run: hf auth login")
        self.repo, self.options = repo, options
        self._api = HfApi(token=token, library_name="duplexkit")
        self._say: Say = lambda line: say(line.replace(token, "***"))
        self._uploaded: dict[str, CommitOperationAdd] = {}
        self._first: Changes | None = None

    @property
    def url(self) -> str:
        """Of the repository's page."""
        return f"{self._api.endpoint}/datasets/{self.repo}"

    def look(self, release: Release) -> Remote:
        """The repository as it is now; Refused or ConnectionError with the remedy where it cannot be seen."""
        return self._patiently(lambda: self._greeted(release), AT_FIRST)

    def publish(self, release: Release) -> Published:
        """Publishes a release and compares what is there with it; errors as ``look``."""
        self.look(release)
        commit = self._patiently(lambda: self._attempt(release), self.options.patience.attempts)
        if self.options.tag:
            self._patiently(lambda: self._tag(commit, release), self.options.patience.attempts)
        done = self._first
        assert done is not None
        return Published(self.url, commit, done.size, sum(item.size for item in done.same))

    def check(self, release: Release, remote: Remote) -> Changes:
        """What the release changes; Refused where it must not."""
        for reason in refusals(release, remote, self.options.private, self.options.replace, self.repo):
            raise Refused(reason)
        found = changes(release, remote, self.options.replace)
        tagged = remote.tags.get(self.options.tag)
        if tagged is not None and (tagged != remote.head or found.sent or found.gone):
            raise Refused(
                f"datasets/{self.repo}: the tag {self.options.tag!r} is another release (commit {tagged[:12]}), and "
                "releases stay what they are; choose another tag"
            )
        return found

    def _patiently(self, step: Callable[[], Result], attempts: int) -> Result:
        known = self.options.patience
        patience = Patience(min(attempts, known.attempts), known.first_s, known.most_s)
        try:
            return persist(step, lambda: len(self._uploaded), patience, self._say)
        except hub_errors() as error:
            told = explained(error, self.repo, self._api.endpoint)
            if told is error:
                raise
            raise told from error

    def _greeted(self, release: Release) -> Remote:
        self._api.whoami()
        return look(self._api, self.repo, self.options.revision, release)

    def _attempt(self, release: Release) -> str:
        """From whatever is there to the release; returns its commit. Repeatable."""
        remote = self._made(release)
        todo = self.check(release, remote)
        self._first = self._first or todo
        if not (todo.sent or todo.gone):
            return remote.head
        from huggingface_hub import CommitOperationDelete

        self._upload([item for item in todo.sent if item.sha256])
        commit = self._api.create_commit(
            self.repo,
            [*map(self._operation, todo.sent), *(CommitOperationDelete(name, is_folder=False) for name in todo.gone)],
            commit_message=self.options.message or _message(release),
            repo_type=KIND,
            revision=self.options.revision,
            parent_commit=remote.head or None,
        ).oid
        self._uploaded.clear()  # an operation can be committed once; the Hub knows the files themselves
        self._compare(commit, release)
        return commit

    def _made(self, release: Release) -> Remote:
        """The repository and its branch, made where there were none."""
        remote = look(self._api, self.repo, self.options.revision, release)
        if remote.head:
            return remote
        self.check(release, remote)
        if not remote.exists:
            self._api.create_repo(self.repo, repo_type=KIND, private=self.options.private, exist_ok=True)
        if self.options.revision != "main":
            self._api.create_branch(self.repo, branch=self.options.revision, repo_type=KIND, exist_ok=True)
        return look(self._api, self.repo, self.options.revision, release)

    def _upload(self, items: list[Item]) -> None:
        """Data files, some at a time; each is checked against the manifest before it goes."""
        waiting = iter([item for item in items if item.name not in self._uploaded])
        size, total = sum(i.size for i in items if i.name in self._uploaded), sum(i.size for i in items)
        while group := list(islice(waiting, TOGETHER)):
            made = {item.name: self._operation(item) for item in group}
            self._api.preupload_lfs_files(
                self.repo, made.values(), repo_type=KIND, revision=self.options.revision, free_memory=False
            )
            self._uploaded |= made
            size += sum(item.size for item in group)
            count = sum(item.name in self._uploaded for item in items)
            self._say(f"uploaded {count} of {len(items)} data files, {size / 1e6:,.1f} of {total / 1e6:,.1f} MB")

    def _operation(self, item: Item) -> CommitOperationAdd:
        from huggingface_hub import CommitOperationAdd

        if item.name in self._uploaded:
            return self._uploaded[item.name]
        made = CommitOperationAdd(item.name, item.source)
        if item.sha256 and made.upload_info.sha256.hex() != item.sha256:
            raise Refused(
                f"{item.source} is not the file its manifest speaks of (another SHA-256); "
                "remove manifest.json and run the build again"
            )
        return made

    def _compare(self, commit: str, release: Release) -> None:
        """Unequal where the commit does not hold the release."""
        left = changes(release, Remote(files=tree(self._api, self.repo, commit)), replace=False)
        if left.sent or left.gone:
            names = ", ".join([*(item.name for item in left.sent), *left.gone][:3])
            raise Unequal(f"datasets/{self.repo} does not hold what was sent ({names})")

    def _tag(self, commit: str, release: Release) -> None:
        tags = look(self._api, self.repo, self.options.revision, release).tags
        if tags.get(self.options.tag) == commit:
            return
        if self.options.tag in tags:
            raise Refused(f"datasets/{self.repo}: the tag {self.options.tag!r} was given elsewhere; choose another tag")
        self._api.create_tag(self.repo, tag=self.options.tag, revision=commit, repo_type=KIND)


def _message(release: Release) -> str:
    splits = release.manifest["splits"].values()
    rows, hours = sum(s["conversations"] for s in splits), sum(s["hours"] for s in splits)
    return (
        f"{release.name}: {rows:,} conversations, {hours:.2f} hours, recipe {release.manifest['recipe']['hash'][:12]}"
    )
