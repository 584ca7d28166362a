"""Finds the record that kills its process.

Before a record is touched its name is written beside the shard. When the process dies, the next attempt sees the name
and counts the death; a record that has died three times is refused instead of touched a fourth time.
"""

from __future__ import annotations

import json
from typing import Any

from datagen.files import Folder

MAX_DEATHS = 3


class Journal:
    """The names and deaths of one shard's records; on disk only until the shard is complete."""

    def __init__(self, folder: Folder, shard: int) -> None:
        self._folder, self._name = folder, f"{shard:05d}.journal"
        before = self._before()
        self._deaths: dict[str, int] = before.get("deaths", {})
        if died := before.get("in_hand"):
            self._deaths[died] = self._deaths.get(died, 0) + 1

    def _before(self) -> dict[str, Any]:
        """What the attempt before wrote; nothing when it died while it wrote."""
        try:
            return dict(json.loads(self._folder.read(self._name))) if self._folder.exists(self._name) else {}
        except ValueError:
            return {}

    def enter(self, record_id: str) -> None:
        """Notes the record in hand; ValueError when it has killed its process too often."""
        if self._deaths.get(record_id, 0) >= MAX_DEATHS:
            raise ValueError(f"it killed its process {MAX_DEATHS} times")
        self._write(record_id)

    def survived(self) -> None:
        """The attempt ended with an error, but its process lives: the record in hand is not to blame."""
        try:
            self._write(None)
        except OSError:  # no room: better to forget the deaths before than to blame this record
            self.close()

    def close(self) -> None:
        """The shard is complete."""
        self._folder.remove(self._name)

    def _write(self, in_hand: str | None) -> None:
        fs, path = self._folder.path(self._name)
        fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        fs.pipe_file(path, json.dumps({"in_hand": in_hand, "deaths": self._deaths}).encode())
