"""Prompts of voices, as the bytes that a cloning server is sent."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import soundfile

from datagen.core.types import Prompt, Voice

MIN_RATE = 16_000
"""CosyVoice refuses prompts of fewer samples per second, with a message that names another number."""
KEPT = 64
"""Prompts kept in memory, the latest used: about 30 MB at 10 s each."""


def prompt_of(voice: Voice) -> Prompt:
    """The prompt to speak from, the voice's first; ValueError when it has none."""
    if not voice.prompts:
        raise ValueError(f"voice {voice.id}: it has no prompt to be cloned from; name one in the voice manifest")
    return voice.prompts[0]


def check_prompts(voice: Voice) -> None:
    """Raises ValueError unless the voice has prompts and their files are there."""
    prompt_of(voice)
    for prompt in voice.prompts:
        if not Path(prompt.path).is_file():
            raise ValueError(f"voice {voice.id}: there is no prompt {prompt.path}; correct the voice manifest")


def prompt_wav(prompt: Prompt) -> bytes:
    """A prompt as a WAV file: its own bytes, or made of them (16-bit, same rate) when it is a FLAC file.

    ValueError when it is another recording than the manifest names, or one that cannot be used; OSError when it cannot
    be read here.
    """
    return _wav(prompt.path, prompt.sha256)


@lru_cache(maxsize=KEPT)
def _wav(path: str, sha256: str) -> bytes:
    content = Path(path).read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"prompt {path} is not the recording of the manifest (sha256); restore it or renew it")
    try:
        samples, rate = soundfile.read(BytesIO(content), dtype="int16", always_2d=True)
    except soundfile.SoundFileError as error:
        raise ValueError(f"prompt {path} is no sound file: {' '.join(str(error).split())}") from None
    if rate < MIN_RATE:
        raise ValueError(f"prompt {path} has {rate} samples per second; cloning needs {MIN_RATE} or more")
    if content[:4] == b"RIFF":
        return content
    made = BytesIO()
    soundfile.write(made, samples, rate, format="WAV", subtype="PCM_16")
    return made.getvalue()
