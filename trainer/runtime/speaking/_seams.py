"""Pieces of speech put together to one utterance: cross-faded where the voice goes on, ramped where it pauses. Pure.

Positions are samples at 16 kHz. A piece is cut out of a rendering that may go on to either side of it; where it does
on both sides of a seam, the two renderings are laid over each other in phase.
"""

from __future__ import annotations

from itertools import accumulate, chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from datagen.core.units import from_ms
from trainer.runtime.speaking._base import Pcm

HALF = from_ms(5)
"""A cross-fade reaches so far to each side of the seam."""
SEARCH = from_ms(7)
"""How far a piece may be shifted to be in phase: half a pitch period of a voice of 71 Hz."""
FADE_IN, FADE_OUT = from_ms(3), from_ms(5)
"""Ramps where a piece begins or ends in silence, or the next one comes too late."""
CLOSING, OPENING = from_ms(12), from_ms(30)
"""Silence kept before and behind a seam inside a clause: together as long as the closure of a stop."""
_EDGE = from_ms(12)
"""Sound shorter than this between the cut and a silence is an echo of the neighbour."""
_AUDIBLE = 0.01
"""40 dB below a rendering's peak."""
NOTHING: Pcm = np.zeros(0, np.int16)


class Rendering(NamedTuple):
    """A piece inside what the engine returned for it."""

    pcm: Pcm
    start: int
    stop: int
    """The piece is ``pcm[start:stop]``."""
    spans: tuple[tuple[int, int], ...]
    """Where each of its words lies in ``pcm``, rising."""
    goes_on_before: bool = False
    """``pcm`` holds the words before it as well, said without a pause in between."""
    goes_on_after: bool = False
    """The voice goes on behind ``stop``, with the sound of other words."""
    pause: int = 0
    """Silence that belongs after it when something follows."""


class Seam(NamedTuple):
    """What was given out so far."""

    total: int = 0
    tail: Pcm | None = None
    """``HALF`` samples still to be given out and ``HALF`` of what the rendering went on with."""
    pause: int = 0


class Joined(NamedTuple):
    """What is given out now: samples, and the words in samples from the utterance's start."""

    seam: Seam
    pcm: Pcm
    spans: tuple[tuple[int, int], ...]


def join(seam: Seam, piece: Rendering, waited: int = 0) -> Joined:
    """The piece behind what was given out; of the pause between, ``waited`` samples have passed already."""
    long_enough = piece.stop - piece.start >= 4 * HALF + SEARCH
    if seam.tail is not None and piece.goes_on_before and long_enough and piece.start >= HALF:
        at = piece.start + _shift(seam.tail, piece)
        head, body = _crossfade(seam.tail, piece.pcm[at - HALF : at + HALF]), piece.pcm[at + HALF :]
        offset = seam.total - (at - HALF)
        body = body[: piece.stop - at - HALF]
    else:
        silence = np.zeros(max(0, seam.pause - waited), np.int16)
        head = np.concatenate([_ended(seam.tail), silence])
        body = _ramped(piece.pcm[piece.start : piece.stop], FADE_IN, rising=True)
        offset = seam.total + head.size - piece.start
    tail = None
    if piece.goes_on_after and long_enough and piece.stop + HALF <= piece.pcm.size:
        tail, body = piece.pcm[piece.stop - HALF : piece.stop + HALF], body[:-HALF]
    else:
        body = _ramped(body, FADE_OUT, rising=False)
    pcm = np.concatenate([head, body])
    total = seam.total + pcm.size
    spans = tuple((min(a + offset, total), min(b + offset, total)) for a, b in piece.spans)
    return Joined(Seam(total, tail, piece.pause), pcm, _rising(spans, seam.total))


def settle(seam: Seam) -> Joined:
    """The rest of the last piece, faded out: nothing follows, or not in time."""
    pcm = _ended(seam.tail)
    return Joined(Seam(seam.total + pcm.size, None, seam.pause), pcm, ())


def close_up(piece: Rendering) -> Rendering:
    """With no more silence than ``CLOSING`` and ``OPENING`` at the sides where the voice goes on."""
    peak = int(np.abs(piece.pcm.astype(np.int32)).max(initial=0))
    sound = np.abs(piece.pcm[piece.start : piece.stop].astype(np.int32)) > _AUDIBLE * peak
    if not sound.any():
        return piece
    start = piece.start + _silence(sound, OPENING) if piece.goes_on_before else piece.start
    stop = piece.stop - _silence(sound[::-1], CLOSING) if piece.goes_on_after else piece.stop
    spans = tuple((min(max(a, start), stop), min(max(b, start), stop)) for a, b in piece.spans)
    return piece._replace(start=start, stop=stop, spans=spans)


def _silence(sound: npt.NDArray[np.bool_], keep: int) -> int:
    """How many samples to leave out at the beginning, so that no silence there is longer than ``keep``."""
    edges = np.concatenate([[-1], np.flatnonzero(sound)])
    begins, lengths = edges[:-1] + 1, np.diff(edges) - 1
    long = np.flatnonzero((begins <= _EDGE) & (lengths > keep))
    return int(begins[long[-1]] + lengths[long[-1]]) - keep if long.size else 0


def _shift(tail: Pcm, piece: Rendering) -> int:
    """How far the seam moves in the piece's rendering so that it looks most like the tail; 0 in silence."""
    low = max(-SEARCH, HALF - piece.start)
    near = piece.pcm[piece.start - HALF + low : piece.start + HALF + SEARCH].astype(np.float64)
    target = tail.astype(np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(near, target.size)
    energy = np.sqrt((windows**2).sum(axis=1)) * np.sqrt((target**2).sum())
    likeness = np.divide(windows @ target, energy, out=np.zeros_like(energy), where=energy > 0)
    best = int(np.argmax(likeness))
    return best + low if likeness[best] > 0 else 0


def _crossfade(old: Pcm, new: Pcm) -> Pcm:
    up = _ramp(old.size)
    return np.rint(old * (1 - up) + new * up).astype(np.int16)


def _ramp(size: int) -> npt.NDArray[np.float64]:
    """Half a cosine from 0 to 1, both ends left out."""
    return 0.5 - 0.5 * np.cos(np.pi * (np.arange(size) + 1) / (size + 1))


def _ramped(pcm: Pcm, size: int, rising: bool) -> Pcm:
    """With its first (last) samples faded in (out)."""
    size = min(size, pcm.size)
    out, ramp = pcm.astype(np.float64), _ramp(size)
    if rising:
        out[:size] *= ramp
    else:
        out[pcm.size - size :] *= ramp[::-1]
    return np.rint(out).astype(np.int16)


def _ended(tail: Pcm | None) -> Pcm:
    """What is left of a tail, faded out."""
    return NOTHING if tail is None else _ramped(tail[:HALF], HALF, rising=False)


def _rising(spans: tuple[tuple[int, int], ...], floor: int) -> tuple[tuple[int, int], ...]:
    """The same spans, none of whose times lies before an earlier one's or before ``floor``."""
    times = list(accumulate(chain.from_iterable(spans), max, initial=floor))[1:]
    return tuple(zip(times[::2], times[1::2], strict=True))
