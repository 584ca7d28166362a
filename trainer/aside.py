"""Files that are whole or not there: made aside, then moved into place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def aside(path: Path) -> Iterator[Path]:
    """Where to write the file; it takes its place when the block ends well. Processes may write the same one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield made
        os.replace(made, path)
    finally:
        made.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """A text file, UTF-8."""
    with aside(path) as made:
        made.write_text(text, encoding="utf-8")
