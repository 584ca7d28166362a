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

from datagen.core.records import SegmentKind
from datagen.core.rng import stream
from datagen.core.types import Dialogue, Speaker, Word
from datagen.core.units import FRAME_SAMPLES
from trainer.data.loader import Example, Pick
from trainer.data.rows import Row, Segment
from trainer.losses import IGNORED
from trainer.stages.objectives import SPEECH
from trainer.targets import Encode, label_ticks

Label = Callable[[Row], npt.NDArray[np.int64]]
"""A row's labels of what is heard (K x 2), ``trainer.stages.wording.worded``."""

LEAD_TICKS, OPENING_TICKS = (0.5, 5.0), (5.6, 6.9)
"""Silence before the user opens, and before the assistant does: ``margins`` of ``datagen.stages.plan``."""
GAP_TICKS = (1.2, 2.2)
"""Silence before the other side speaks: the ``polite`` profile's median is 1.4 ticks (0.7 to 2.6, 90 % of them)."""
PAUSE_TICKS = (1.5, 4.0)
PAUSE_SHARE = 0.3
"""Of the user's punctuation inside a turn that is a pause."""
SLOW_SHARE = 0.4
"""Of the user's words that take a tick more than they have tokens."""
CUT_SHARE, NOD_SHARE = 0.25, 0.35
"""Of the assistant's long turns that the user cuts short, and of the others those with a backchannel."""
LONG_TICKS = 10
SPOKEN_TICKS = 1.6
"""Where the assistant may be cut, per token: its speech lasts 1.5 ticks a token, so its text is mostly out by then."""
OVERLAP_TICKS = 2.5
"""From the user's onset to the assistant's silence: 400 ms, as in the ``polite`` profile."""
QUIET_TICKS = 5.0
"""From that onset to what the assistant says next, at least: it has stopped by then."""
TAIL_TICKS = 6
"""After the last word."""
KEPT = 64
"""Speech vectors of a label."""


def imagined(dialogue: Dialogue, encode: Encode, rng: np.random.Generator, nods: Sequence[str] = ()) -> Row:
    """A dialogue as the row of a conversation that nobody spoke: a token of the user or of the assistant per tick.

    In a share of the assistant's turns the user cuts in with the next turn, in others with one of ``nods`` (texts of
    backchannels), which the assistant is to talk through. All that is said is what the dialogue says.
    """
    at = float(rng.uniform(*(LEAD_TICKS if dialogue.turns[0].speaker == "user" else OPENING_TICKS)))
    quiet = 0.0
    segments: list[Segment] = []
    for turn, after in zip(dialogue.turns, [*dialogue.turns[1:], None], strict=True):
        if turn.speaker == "user":
            words = _spoken(turn.text, at, encode, rng)
            segments += _user(words, turn.text, "turn")
            at = words[-1].end / FRAME_SAMPLES if words else at
        else:
            at = max(at, quiet)
            ticks = len(encode(turn.text)) + 2
            answered = after is not None and after.speaker == "user" and ticks >= LONG_TICKS
            if answered and rng.random() < CUT_SHARE:
                onset = at + float(rng.uniform(3, SPOKEN_TICKS * ticks))
                end = onset + max(OVERLAP_TICKS + rng.normal(0, 0.5), 1)
                segments.append(_segment("assistant", "turn", _sample(at), _sample(end), turn.text, yielded=True))
                at, quiet = onset, max(end + 1, onset + QUIET_TICKS)
                continue
            if nods and ticks >= LONG_TICKS and rng.random() < NOD_SHARE:
                nod = nods[int(rng.integers(len(nods)))]
                segments += _user(_spoken(nod, at + rng.uniform(3, ticks - 4), encode, rng), nod, "backchannel")
            end = at // 1 + ticks
            segments.append(_segment("assistant", "turn", _sample(at), _sample(end), turn.text))
            at = end
        at += float(rng.uniform(*GAP_TICKS))
    segments.sort(key=lambda segment: segment.start)
    last = max((segment.end for segment in segments), default=0)
    return Row(
        id=dialogue.id,
        language=dialogue.language,
        domain=dialogue.domain,
        source=dialogue.source,
        profile="imagined",
        num_samples=last + TAIL_TICKS * FRAME_SAMPLES,
        segments=tuple(segments),
        events=(),
        user_voice="",
        assistant_voice="",
    )


def _user(words: Sequence[Word], text: str, kind: SegmentKind) -> list[Segment]:
    """The segment, or none where nothing is said."""
    return [_segment("user", kind, words[0].start, words[-1].end, text, words)] if words else []


def _segment(
    speaker: Speaker,
    kind: SegmentKind,
    start: int,
    end: int,
    text: str,
    words: Sequence[Word] = (),
    yielded: bool = False,
) -> Segment:
    return Segment(
        speaker=speaker,
        kind=kind,
        start=start,
        end=end,
        text=text,
        text_full=text,
        words=tuple(words),
        yielded=yielded,
    )


def _spoken(said: str, at: float, encode: Encode, rng: np.random.Generator) -> list[Word]:
    """The user's words on the clock, from a tick on."""
    words: list[Word] = []
    texts = said.split()
    for number, text in enumerate(texts):
        start = at
        at += max(1, len(encode(" " + text))) + (rng.random() < SLOW_SHARE) - 0.15
        words.append(Word(text=text, start=_sample(start), end=_sample(at)))
        if number + 1 < len(texts) and not text[-1].isalnum() and rng.random() < PAUSE_SHARE:
            at += float(rng.uniform(*PAUSE_TICKS))
    return words


def _sample(ticks: float) -> int:
    return round(ticks * FRAME_SAMPLES)


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
