"""Audio on the wire: base64 of PCM16 at 24 kHz or G.711 at 8 kHz, and int16 at 16 kHz inside. No sockets.

Resampling is soxr's variable-rate filter: flat to 7 kHz (3.6 kHz at 8 kHz), images below -90 dB, and a delay of 10 to
30 ms that does not depend on the blocks; soxr's fixed-rate filter works in blocks and delays 8 kHz by up to 115 ms.
Cutting the stream otherwise never changes a sample.
"""

from __future__ import annotations

import base64
import binascii
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import soxr

Coding = Literal["audio/pcm", "audio/pcmu", "audio/pcma"]
Samples = npt.NDArray[np.int16]

RATE = 16_000
"""Samples per second inside."""
RATES: dict[Coding, int] = {"audio/pcm": 24_000, "audio/pcmu": 8_000, "audio/pcma": 8_000}
"""Samples per second on the wire."""
WIDTHS: dict[Coding, int] = {"audio/pcm": 2, "audio/pcmu": 1, "audio/pcma": 1}
"""Bytes per sample on the wire."""

_MU_BIAS = 132
_MU_CLIP = 32_635


class BadAudio(ValueError):
    """The client's audio can not be read."""


def unpacked(text: str) -> bytes:
    """The bytes of base64 text. BadAudio where it is not base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadAudio("audio is not valid base64") from None


def packed(data: bytes) -> str:
    """Bytes as base64 text."""
    return base64.b64encode(data).decode("ascii")


class Stream:
    """Resamples one stream of int16 audio, block by block."""

    def __init__(self, rate: int, to: int) -> None:
        self._stream = soxr.ResampleStream(rate, to, 1, dtype="float32", quality="HQ", vr=True)

    def feed(self, samples: Samples, last: bool = False) -> Samples:
        """int16[N] at the first rate to int16[M] at the second; ``last`` gives all that is left."""
        resampled = self._stream.resample_chunk(samples.astype(np.float32), last=last)
        return np.clip(np.rint(resampled), -32_768, 32_767).astype(np.int16)


class Decoder:
    """The client's audio to int16 at 16 kHz, one stream."""

    def __init__(self, coding: Coding) -> None:
        self.coding: Coding = coding
        self._stream = Stream(RATES[coding], RATE)

    def seconds(self, data: bytes) -> float:
        """How long ``data`` lasts."""
        return len(data) / WIDTHS[self.coding] / RATES[self.coding]

    def feed(self, data: bytes) -> Samples:
        """The next bytes to the samples they complete. BadAudio where they hold half a sample."""
        if len(data) % WIDTHS[self.coding]:
            raise BadAudio(f"audio has {len(data)} bytes; 16-bit samples need an even number")
        if not data:
            return np.zeros(0, np.int16)
        return self._stream.feed(_samples(data, self.coding))


class Encoder:
    """int16 at 16 kHz to the client's audio, one stream."""

    def __init__(self, coding: Coding) -> None:
        self.coding: Coding = coding
        self._stream = Stream(RATE, RATES[coding])

    def feed(self, samples: Samples, last: bool = False) -> bytes:
        """The next samples to the bytes they complete; ``last`` gives all that is left."""
        resampled = self._stream.feed(samples, last)
        if self.coding == "audio/pcm":
            return resampled.astype("<i2").tobytes()
        return _codes(self.coding)[resampled.view(np.uint16)].tobytes()


def decoded(data: bytes, coding: Coding) -> Samples:
    """G.711 or PCM16 bytes to int16 samples at the wire's rate."""
    return _samples(data, coding)


def encoded(samples: Samples, coding: Coding) -> bytes:
    """int16 samples at the wire's rate to G.711 or PCM16 bytes."""
    if coding == "audio/pcm":
        return samples.astype("<i2").tobytes()
    return _codes(coding)[samples.view(np.uint16)].tobytes()


def _samples(data: bytes, coding: Coding) -> Samples:
    if coding == "audio/pcm":
        return np.frombuffer(data, "<i2").astype(np.int16)
    return _levels(coding)[np.frombuffer(data, np.uint8)]


@cache
def _levels(coding: Coding) -> Samples:
    """int16[256]: the sample of every G.711 code (ITU-T G.711, tables 1a and 2a, scaled to 16 bits)."""
    codes = np.arange(256)
    if coding == "audio/pcmu":
        inverted = ~codes & 0xFF
        magnitude = (((inverted & 0x0F) << 3) + _MU_BIAS << ((inverted >> 4) & 7)) - _MU_BIAS
        return np.where(inverted & 0x80, -magnitude, magnitude).astype(np.int16)
    toggled = codes ^ 0x55
    segment, step = (toggled >> 4) & 7, ((toggled & 0x0F) << 4) + 8
    magnitude = np.where(segment == 0, step, (step + 0x100) << np.maximum(segment - 1, 0))
    return np.where(toggled & 0x80, magnitude, -magnitude).astype(np.int16)


@cache
def _codes(coding: Coding) -> npt.NDArray[np.uint8]:
    """uint8[65536]: the G.711 code of every 16-bit sample, seen as unsigned."""
    samples = np.arange(65_536).astype(np.uint16).view(np.int16).astype(np.int32)
    if coding == "audio/pcmu":
        magnitude = np.minimum(np.abs(samples >> 2) << 2, _MU_CLIP) + _MU_BIAS  # G.711 sees 14 bits
        segment = np.floor(np.log2(magnitude)).astype(np.int32) - 7
        code = (segment << 4) | ((magnitude >> (segment + 3)) & 0x0F)
        return (~np.where(samples < 0, code | 0x80, code) & 0xFF).astype(np.uint8)
    magnitude = np.where(samples >= 0, samples, -samples - 1)
    segment = np.maximum(np.floor(np.log2(np.maximum(magnitude, 1))).astype(np.int32) - 7, 0)
    code = (segment << 4) | ((magnitude >> np.maximum(segment + 3, 4)) & 0x0F)
    return (np.where(samples >= 0, code | 0x80, code) ^ 0x55).astype(np.uint8)
