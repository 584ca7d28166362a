"""Finds the record that kills its process.

Before a record is touched its name is written beside the shard. When the process dies, the next attempt sees the name
and counts the death; a record that has died three times is refused instead of touched a fourth time.
"""

from __future__ import annotations

import json

from datagen.store import Folder

MAX_DEATHS = 3


class Journal:
    """The names and deaths of one shard's records; on disk only until the shard is complete."""

    def __init__(self, folder: Folder, shard: int) -> None:
        self._folder, self._name = folder, f"{shard:05d}.journal"
        self._deaths: dict[str, int] = {}
        if folder.exists(self._name):
            before = json.loads(folder.read(self._name) or b"{}")
            self._deaths = before.get("deaths", {})
            if died := before.get("in_hand"):
                self._deaths[died] = self._deaths.get(died, 0) + 1

    def enter(self, record_id: str) -> None:
        """Notes the record in hand; ValueError when it has killed its process too often."""
        if self._deaths.get(record_id, 0) >= MAX_DEATHS:
            raise ValueError(f"it killed its process {MAX_DEATHS} times")
        fs, path = self._folder.path(self._name)
        fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        fs.pipe_file(path, json.dumps({"in_hand": record_id, "deaths": self._deaths}).encode())

    def close(self) -> None:
        """The shard is complete."""
        self._folder.remove(self._name)
