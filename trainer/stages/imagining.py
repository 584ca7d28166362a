"""Dialogues that are only written, as the language model would hear them: text is cheap, speech is not.

A written dialogue is laid out tick by tick, and each tick of the user is given a speech vector that the tower really
made for those words somewhere in the data (``Bank``): a language model learns from thousands of texts what a user may
mean, how a turn ends and what is answered, with the noise of the ear in it, and nothing is synthesised or encoded.

Shape suffixes: K ticks (160 ms), D width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset

from datagen.core.rng import stream
from datagen.core.types import Dialogue, Turn, Word
from datagen.core.units import FRAME_SAMPLES
from trainer.data.loader import Example, Pick
from trainer.data.rows import Row, Segment
from trainer.losses import IGNORED
from trainer.stages.objectives import SPEECH
from trainer.targets import Encode, label_ticks

Label = Callable[[Row], npt.NDArray[np.int64]]
"""A row's labels of what is heard (K x 2), ``trainer.stages.wording.worded``."""

GAP_TICKS = (1.2, 2.2)
"""Silence before the other side speaks: the ``polite`` profile answers after 190 to 350 ms."""
PAUSE_TICKS = (1.5, 4.0)
PAUSE_SHARE = 0.3
"""Of the user's punctuation inside a turn that is a pause."""
SLOW_SHARE = 0.4
"""Of the user's words that take a tick more than they have tokens."""
TAIL_TICKS = 6
"""After the last word."""
KEPT = 64
"""Speech vectors of a label."""


def imagined(dialogue: Dialogue, encode: Encode, rng: np.random.Generator) -> Row:
    """A dialogue as the row of a conversation that nobody spoke: a token of the user or of the assistant per tick."""
    at = float(rng.uniform(1, 4))
    segments: list[Segment] = []
    for turn in dialogue.turns:
        if turn.speaker == "user":
            words, at = _spoken(turn, at, encode, rng)
            if not words:
                continue
            start, end = words[0].start, words[-1].end
        else:
            words, start = [], round(at * FRAME_SAMPLES)
            at = at // 1 + len(encode(turn.text)) + 2
            end = round(at * FRAME_SAMPLES)
        segments.append(
            Segment(
                speaker=turn.speaker,
                kind="turn",
                start=start,
                end=end,
                text=turn.text,
                text_full=turn.text,
                words=tuple(words),
            )
        )
        at += float(rng.uniform(*GAP_TICKS))
    return Row(
        id=dialogue.id,
        language=dialogue.language,
        domain=dialogue.domain,
        source=dialogue.source,
        profile="imagined",
        num_samples=round((at + TAIL_TICKS) * FRAME_SAMPLES),
        segments=tuple(segments),
        events=(),
        user_voice="",
        assistant_voice="",
    )


def _spoken(turn: Turn, at: float, encode: Encode, rng: np.random.Generator) -> tuple[list[Word], float]:
    """The user's words on the clock, and the tick that they end at."""
    words: list[Word] = []
    texts = turn.text.split()
    for number, text in enumerate(texts):
        start = at
        at += max(1, len(encode(" " + text))) + (rng.random() < SLOW_SHARE) - 0.15
        words.append(Word(text=text, start=round(start * FRAME_SAMPLES), end=round(at * FRAME_SAMPLES)))
        if number + 1 < len(texts) and not text[-1].isalnum() and rng.random() < PAUSE_SHARE:
            at += float(rng.uniform(*PAUSE_TICKS))
    return words, at


class Bank:
    """Speech vectors by what they were labelled with (``trainer.stages.wording``)."""

    def __init__(self, heard: Iterable[tuple[npt.NDArray[np.int64], npt.NDArray[np.float16]]], other: int) -> None:
        """``heard``: labels (K x 2) and vectors (K x D) of conversations; ``other`` stands in for labels that were
        never heard."""
        found: dict[int, list[npt.NDArray[np.float16]]] = {}
        for label_K2, speech_KD in heard:
            for label, vector_D in zip(label_K2, speech_KD, strict=False):
                if label[1] == IGNORED and len(kept := found.setdefault(int(label[0]), [])) < KEPT:
                    kept.append(vector_D)
        self._found: Mapping[int, npt.NDArray[np.float16]] = {k: np.stack(v) for k, v in found.items()}
        self._other = other

    def speech(self, label_K2: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.float32]:
        """A vector per tick (K x D) that was heard for its label, any of them."""
        draws = rng.random(len(label_K2))
        kept = [self._found.get(int(label), self._found[self._other]) for label in label_K2[:, 0]]
        return np.stack([v[int(d * len(v))] for v, d in zip(kept, draws, strict=True)]).astype(np.float32)


class Imagined(Dataset[Example]):
    """Written dialogues by ``Pick``; what the bank gives for them differs between epochs."""

    def __init__(self, rows: Sequence[Row], bank: Bank, label: Label, seed: int) -> None:
        self._rows, self._bank, self._label, self._seed = rows, bank, label, seed

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, pick: Pick) -> Example:
        row = self._rows[pick.row]
        label_K2 = self._label(row)[: label_ticks(row.num_samples)]
        speech_KD = self._bank.speech(label_K2, stream(self._seed, row.id, f"imagine-{pick.epoch}"))
        return Example(pick, row, np.zeros(1, np.float32), None, {SPEECH: speech_KD})
