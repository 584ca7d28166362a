"""From what a model writes to what can be said: no thoughts, no label, no Markdown, no control characters."""

from __future__ import annotations

import re

from datagen.core.types import CONTROL

THINK, THOUGHT = "<think>", "</think>"
"""Some local servers leave a model's thinking in its answer."""
LABEL = "assistant:"
"""Instructed models may begin with it all the same, as the conversation they are shown does."""
UNSPEAKABLE = re.compile(r"[*`\ud800-\udfff]")
"""Marks of Markdown, and halves of surrogate pairs, which no file can hold."""


class Cleaner:
    """Cleans an answer piece by piece; any cut gives the same text."""

    def __init__(self) -> None:
        self._head: str | None = ""
        """What has come so far while its beginning may still be a thought or a label; None afterwards."""

    def push(self, piece: str) -> str:
        """What can be said of the answer after this piece; empty while that is in doubt."""
        if self._head is None:
            return _plain(piece)
        self._head += piece
        head = self._head.lstrip()
        if head.startswith(THINK):
            end = head.find(THOUGHT)
            if end < 0:
                return ""
            self._head = head = head[end + len(THOUGHT) :].lstrip()
        if _may_become(head, THINK) or _may_become(head, LABEL):
            return ""
        return self.end()

    def end(self) -> str:
        """What was still held back; nothing of a thought that never ended."""
        head, self._head = self._head or "", None
        bare = head.lstrip()
        if bare.startswith(THINK):
            return ""
        return _plain(bare[len(LABEL) :] if bare.casefold().startswith(LABEL) else head)


def _may_become(head: str, mark: str) -> bool:
    """Whether a text that goes on may begin with the mark."""
    return len(head) < len(mark) and mark.startswith(head.casefold())


def _plain(text: str) -> str:
    return UNSPEAKABLE.sub("", CONTROL.sub(" ", text))
