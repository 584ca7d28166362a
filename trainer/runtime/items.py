"""What has been said in a conversation, item by item."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from datagen.core.types import Turn
from datagen.core.units import SAMPLES_PER_MS
from trainer.runtime.response import Response
from trainer.runtime.user import one_line


@dataclass
class Item:
    """Something that was said."""

    id: str
    speaker: Any
    text: str
    response: Response | None = field(default=None, repr=False)
    cut_ms: float = math.inf
    """The client heard no more of the response's audio."""

    def heard(self) -> str:
        """The words of its response that were heard."""
        assert self.response is not None
        heard_ms = min(self.cut_ms, self.response.heard_ms)
        return self.response.buffer.heard(round(heard_ms * SAMPLES_PER_MS))


def turns(items: Iterable[Item]) -> list[Turn]:
    """The items that hold words, as the slow path's language models take them."""
    lines = [(item.speaker, one_line(item.text)) for item in items]
    return [Turn(speaker=speaker, text=line) for speaker, line in lines if any(map(str.isalnum, line))]
