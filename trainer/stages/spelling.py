"""Which letter of the user's words an encoder frame hears: labels of the auxiliary loss, from the times of words. Pure.

Shape suffix: E encoder frames (40 ms).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from datagen.core.units import FRAME_SAMPLES
from trainer.data.rows import Row
from trainer.model.fastpath import LETTERS
from trainer.model.tower import TICK_FRAMES

FRAME = FRAME_SAMPLES // TICK_FRAMES
"""Samples of an encoder frame."""
SILENT = 0
"""Label of frames in which the user says no word."""
_NUMBER = {letter: number for number, letter in enumerate(LETTERS, 1)}


def spelt(row: Row) -> npt.NDArray[np.int64]:
    """A label per frame of the conversation: a word's letters share its time evenly, all else is silent.

    Spelling is no pronunciation and letters do not last equally long; from random weights it is enough to learn
    listening from, and unlike CTC it also says when nobody speaks. Words without a letter that is known (digits, other
    scripts) count as silent.
    """
    label_E = np.zeros(row.num_samples // FRAME + 1, np.int64)
    for segment in row.segments:
        for word in segment.words if segment.speaker == "user" else ():
            letters = [_NUMBER[c] for c in word.text.lower() if c in _NUMBER]
            first = round(word.start / FRAME)
            last = min(max(round(word.end / FRAME), first + 1), len(label_E))
            for frame in range(first, last) if letters else ():
                share = ((frame + 0.5) * FRAME - word.start) / (word.end - word.start)
                label_E[frame] = letters[min(max(int(share * len(letters)), 0), len(letters) - 1)]
    return label_E
