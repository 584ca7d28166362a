"""Two listeners to bursts for words: a recogniser for the studio, and a judge of what the studio has accepted.

No recogniser hears words in bursts, so ``Ear`` stands in for one: it knows the text and counts. ``flaws`` shares the
bursts' edges with it, but none of the rules of ``core.acceptance``, and is stricter than those: every word must be
whole and in its place, which the form of the clips (``bursts``) allows.
"""

from __future__ import annotations

import threading
from itertools import cycle, islice, pairwise

import numpy as np

from datagen.core.audio import Pcm
from datagen.core.types import Voice
from datagen.core.units import SAMPLE_RATE
from datagen.kinds import Engine, Heard, Speech
from tests.benchmarks.bursts import GAP_S, WORD_S

FRAME = SAMPLE_RATE // 100
LOUD = 0.08
"""Share of the clip's loud level above which a frame of 10 ms belongs to a burst: 22 dB below, where bursts are 40 dB
above the noise between them."""
TOLERANCE_S = 0.05
"""By which a word may be shorter, longer, early or late: a few frames. Half of a word is 0.17 s."""
MAX_PAUSE_S = 0.8
MAX_CLIPPED = 0.01
MIN_RMS = 0.003
"""-50 dB of full scale; bursts have -21."""


def heard_bursts(pcm: Pcm) -> list[tuple[float, float]]:
    """Beginning and end of every burst in seconds, to 10 ms; ``pcm`` is 16 kHz mono."""
    whole = pcm[: pcm.size // FRAME * FRAME].astype(np.float64).reshape(-1, FRAME)
    rms = np.sqrt(np.square(whole).mean(axis=1))
    if not rms.any():
        return []
    loud = np.concatenate([[False], rms > LOUD * np.quantile(rms, 0.9), [False]])
    edges = np.flatnonzero(loud[1:] != loud[:-1]) / 100
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


class Ear:
    """A recogniser of bursts: it is told what is being said, and hears as many of its first words as there are bursts
    in the clip; where there are more, the text again. Thread by thread, as an utterance is spoken and judged in one."""

    def __init__(self) -> None:
        self._told = threading.local()

    def expect(self, text: str) -> None:
        """What this thread says next."""
        self._told.text = text

    def transcribe(self, pcm: Pcm, language: str) -> Heard:
        """As many words as bursts."""
        bursts = heard_bursts(pcm)
        words = islice(cycle(self._told.text.split()), len(bursts))
        return Heard(
            tuple(
                (word, round(start * SAMPLE_RATE), round(end * SAMPLE_RATE))
                for word, (start, end) in zip(words, bursts, strict=True)
            )
        )


class Overheard:
    """An engine whose texts an ear is told, and whose calls are counted."""

    def __init__(self, engine: Engine, ear: Ear) -> None:
        self.parallel = int(getattr(engine, "parallel", 1))
        self.calls = 0
        self._engine, self._ear, self._lock = engine, ear, threading.Lock()

    def check_voice(self, voice: Voice) -> None:
        """As the engine does."""
        self._engine.check_voice(voice)

    def synthesize(self, text: str, voice: Voice, seed: int) -> Speech:
        """As the engine does."""
        self._ear.expect(text)
        with self._lock:
            self.calls += 1
        return self._engine.synthesize(text, voice, seed)


def flaws(pcm: Pcm, words: int) -> list[str]:
    """What is wrong with a clip of so many words, by its form alone; nothing where every word is whole and in place."""
    if pcm.dtype != np.int16 or not pcm.size:
        return ["no samples"]
    if np.sqrt(np.square(pcm / 32_768).mean()) < MIN_RMS:
        return ["silent"]
    found: list[str] = []
    if np.mean(np.abs(pcm.astype(int)) >= 0.98 * 32_768) >= MAX_CLIPPED:
        found.append("clipped")
    bursts = heard_bursts(pcm)
    if len(bursts) != words:
        found.append(f"{'fewer' if len(bursts) < words else 'more'} words than the text")
    if any(abs(end - start - WORD_S) > TOLERANCE_S for start, end in bursts):
        found.append("a word that is not whole")
    pauses = [right[0] - left[1] for left, right in pairwise(bursts)]
    if max(pauses, default=0.0) > MAX_PAUSE_S:
        found.append("a long pause")
    elif any(abs(pause - GAP_S) > TOLERANCE_S for pause in pauses):
        found.append("words out of place")
    return found
