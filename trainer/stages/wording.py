"""What the user says, tick by tick: labels for the speech vectors themselves, from the times of words. Pure.

    tick     0    1    2     3     4    5    6    7    8    9
    user          Could you,   uh ...   wait?
    label   SIL  HOD  Could you   uh   SIL  wait EOS  EOS  EOS  SIL

A word's tokens lie evenly over its time, each in the tick that it ends in, ``LATE`` samples later. A tick of speech in
which nothing ends is [HOD] in a turn and [BOC] in a backchannel: who cuts in is to be told from who agrees before the
first word is over. After a turn of the user ``OVER`` ticks are [EOS], after a backchannel [BOC]; silence
before, between and within turns is [SIL]: so what tells a pause from an end is learned too.

Shape suffix: K ticks (160 ms).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor

from datagen.core.units import FRAME_SAMPLES, from_ms
from trainer.data.rows import Row
from trainer.losses import IGNORED
from trainer.targets import Encode, label_ticks
from trainer.tokens import ControlTokens

LATE = from_ms(80)
OVER = 3
TOGETHER = 2
"""Tokens of one tick that are learned: more of them end in one tick in 0.1 % of ticks."""
_MARKS = ' .,!?;:"()'


def worded(row: Row, encode: Encode, tokens: ControlTokens) -> npt.NDArray[np.int64]:
    """Up to ``TOGETHER`` labels per tick (K x 2), the rest ``IGNORED``; each of a tick's labels is right."""
    ticks = label_ticks(row.num_samples)
    label_K2 = np.full((ticks, TOGETHER), IGNORED, np.int64)
    label_K2[:, 0] = tokens.sil
    own = [s for s in row.segments if s.speaker == "user"]
    for segment in own:
        during, after = (tokens.boc,) * 2 if segment.kind == "backchannel" else (tokens.hod, tokens.eos)
        over = (segment.end + LATE) // FRAME_SAMPLES
        label_K2[over : over + OVER, 0] = after
        for part in segment.words or (segment,):
            begun, ended = ((at + LATE) // FRAME_SAMPLES for at in (part.start, part.end))
            label_K2[begun:ended, 0] = during
    last: dict[int, list[int]] = {}
    for segment in own:
        for word in segment.words:
            ids = encode(" " + word.text.strip(_MARKS))
            for number, token in enumerate(ids, 1):
                at = word.start + (word.end - word.start) * number // len(ids)
                last.setdefault((at + LATE) // FRAME_SAMPLES, []).append(token)
    for tick, found in last.items():
        kept = found[-TOGETHER:]
        if tick < ticks:
            label_K2[tick, : len(kept)] = kept
    return label_K2


def worded_loss(logits_BKV: Tensor, label_BK2: Tensor) -> Tensor:
    """The mean cross-entropy of all labels."""
    taught_BK2 = label_BK2 != IGNORED
    chance_BKV = logits_BKV.float().log_softmax(-1)
    found_BK2 = chance_BKV.gather(-1, label_BK2.clamp(min=0).to(chance_BKV.device))
    return -found_BK2[taught_BK2].mean()
