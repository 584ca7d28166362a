"""FLAC bytes as the published row carries them: lossless, 16-bit, mono, 16 kHz."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import soundfile

from datagen.core.audio import Pcm
from datagen.core.units import SAMPLE_RATE

STREAMINFO_END = 42
"""Bytes of the magic word, the block header and the STREAMINFO block (RFC 9639 section 8.2)."""


def encode_flac(pcm: Pcm) -> bytes:
    """A mono FLAC file of 16-bit samples; the same samples always give the same bytes (of one libFLAC version)."""
    if pcm.dtype != np.int16 or pcm.ndim != 1 or not pcm.size:
        raise ValueError(f"pcm is {pcm.dtype} of shape {pcm.shape}; FLAC is made from a non-empty row of int16")
    buffer = BytesIO()
    soundfile.write(buffer, pcm, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def num_samples(data: bytes) -> int:
    """How many samples a FLAC file says it holds; nothing is decoded.

    ValueError when it does not say that it is a mono 16 kHz FLAC of 16 bits.
    """
    if data[:4] != b"fLaC" or len(data) < STREAMINFO_END:
        raise ValueError(f"{len(data)} bytes are no FLAC file; write the row again")
    packed = int.from_bytes(data[18:26], "big")
    rate, channels, bits = packed >> 44, (packed >> 41 & 7) + 1, (packed >> 36 & 31) + 1
    if (rate, channels, bits) != (SAMPLE_RATE, 1, 16):
        raise ValueError(
            f"audio is {rate} Hz, {channels} channels, {bits} bits; the row holds {SAMPLE_RATE} Hz mono 16"
        )
    return packed & (1 << 36) - 1


def decode_flac(data: bytes) -> Pcm:
    """The samples of a mono 16 kHz sound file of 16 bits, exactly; ValueError for any other file."""
    try:
        file = soundfile.SoundFile(BytesIO(data))
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{len(data)} bytes are no sound file: {error.error_string}; write the row again") from error
    with file:
        if (file.samplerate, file.channels, file.subtype) != (SAMPLE_RATE, 1, "PCM_16"):
            raise ValueError(
                f"audio is {file.samplerate} Hz, {file.channels} channels, {file.subtype}; "
                f"the published row holds {SAMPLE_RATE} Hz mono PCM_16"
            )
        return np.asarray(file.read(dtype="int16"), np.int16)
