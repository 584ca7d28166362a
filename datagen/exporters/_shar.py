"""The tars of a Lhotse Shar folder: the same rows always give the same bytes."""

from __future__ import annotations

import tarfile
from io import BytesIO
from typing import Any

from datagen.files import Aside


class Tar:
    """A tar that is written in one go, with neither times nor owners."""

    def __init__(self, out: Aside) -> None:
        stream: Any = out  # a tar that is written as a stream is neither read nor sought in
        self._tar = tarfile.open(fileobj=stream, mode="w|", format=tarfile.USTAR_FORMAT)  # noqa: SIM115

    def add(self, name: str, content: bytes) -> None:
        """One file; readers find a cut's audio and its description by their common stem."""
        info = tarfile.TarInfo(name)
        info.size = len(content)
        self._tar.addfile(info, BytesIO(content))

    def close(self) -> None:
        """Writes the end mark; the file itself stays its owner's to close."""
        self._tar.close()
