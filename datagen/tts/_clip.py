"""What comes back from a speech engine as bytes, turned into Speech or refused: raw samples and WAV files. Pure."""

from __future__ import annotations

from io import BytesIO
from struct import pack, unpack_from

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from datagen.core.audio import from_pcm16, to_pcm16
from datagen.core.units import SAMPLE_RATE
from datagen.kinds import Speech, Unspoken

MIN_SECONDS = 0.04
"""One speech token of CosyVoice (25 per second). An engine whose model gave up inside returns that little or less."""
RATES = range(8_000, 192_001)
"""Samples per second a WAV file may have; outside, its header is damaged."""
SUBTYPES = frozenset({"PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"})
"""Encodings of WAV that are read. What is compressed could unpack to more than memory holds."""
OPEN_END = 0x7FFF_0000
"""A data chunk that claims this many bytes or more, or none, was written by a stream that did not know its length."""


def speakable(text: str) -> None:
    """Raises ValueError for a text without a letter or digit: engines answer it with nothing, or with nonsense."""
    if not any(c.isalnum() for c in text):
        raise ValueError(f"text {text[:40]!r} has nothing to say; give it a word")


def from_body(body: bytes, rate: int, max_seconds: float) -> Speech:
    """Speech from what a server sent: a WAV file, or else raw samples (see ``from_pcm``)."""
    return from_wav(body, max_seconds) if _is_wav(body) else from_pcm(body, rate, max_seconds)


def from_pcm(body: bytes, rate: int, max_seconds: float) -> Speech:
    """Speech from 16-bit little-endian mono samples at ``rate`` per second; Unspoken when they cannot be a clip."""
    if len(body) % 2:
        raise Unspoken(f"the clip has an odd number of bytes ({len(body)}): it was cut off")
    _of_length(len(body) // 2, rate, max_seconds)
    return _speech(from_pcm16(np.frombuffer(body, "<i2")), rate)


def from_wav(body: bytes, max_seconds: float, closed: bool = False) -> Speech:
    """Speech from a WAV file of any rate, mono or stereo (averaged); Unspoken when it is damaged or cut off.

    The header of a stream may leave the length open; that of a ``closed`` file, one on a disk, may not.
    """
    if not _is_wav(body):
        raise Unspoken(f"the clip is no WAV file ({len(body)} bytes)")
    whole = _whole(body, closed)
    try:
        with soundfile.SoundFile(BytesIO(whole)) as file:
            if file.samplerate not in RATES or file.channels not in (1, 2) or file.subtype not in SUBTYPES:
                raise Unspoken(
                    f"the clip is {file.samplerate} Hz, {file.channels} channels, {file.subtype}: its header is damaged"
                )
            rate = file.samplerate
            _of_length(file.frames, rate, max_seconds)
            mono = file.read(dtype="float32", always_2d=True).mean(axis=1)
    except soundfile.SoundFileError as error:
        raise Unspoken(f"the clip is no readable WAV file: {' '.join(str(error).split())}") from None
    if not np.isfinite(mono).all():
        raise Unspoken("the clip holds samples that are no numbers")
    _of_length(mono.size, rate, max_seconds)
    return _speech(mono, rate)


def _is_wav(body: bytes) -> bool:
    return body[:4] == b"RIFF" and body[8:12] == b"WAVE"


def _whole(body: bytes, closed: bool) -> bytes:
    """The file, with its length where the header left it open.

    Unspoken when the data chunk promises more bytes than there are: libsndfile would read on to the end.
    """
    at = 12
    while at + 8 <= len(body):
        name, size = unpack_from("<4sI", body, at)
        if name == b"data":
            there = len(body) - at - 8
            is_open = size == 0 or size >= OPEN_END
            if (is_open and closed) or (not is_open and size > there):
                raise Unspoken(f"the clip is cut off: {there} of {'unknown' if is_open else size} bytes of samples")
            return body[: at + 4] + pack("<I", there) + body[at + 8 :] if is_open else body
        at += 8 + size + size % 2
    raise Unspoken("the clip is cut off: its WAV header has no samples after it")


def _of_length(num_samples: int, rate: int, max_seconds: float) -> None:
    seconds = num_samples / rate
    if seconds < MIN_SECONDS:
        raise Unspoken(f"the clip lasts {1000 * seconds:.0f} ms, less than one speech token ({1000 * MIN_SECONDS:.0f})")
    if seconds > max_seconds:
        raise Unspoken(f"the clip lasts {seconds:.0f} s, more than max_seconds {max_seconds:g}")


def _speech(signal: npt.NDArray[np.float32], rate: int) -> Speech:
    """Finite samples at ``rate`` as Speech at 16 kHz.

    What exceeds full scale, before or after the filter, is held there and not scaled down, so that a clipped clip can
    still be told by its samples at full scale.
    """
    held = np.clip(signal, -1, 1)
    resampled = held if rate == SAMPLE_RATE else soxr.resample(held, rate, SAMPLE_RATE, quality="HQ")
    pcm, _ = to_pcm16(resampled)
    return Speech(pcm, None)
