"""A batch tool that speaks in bursts and fails: it leaves lines out, damages files, spoils clips.

It reads and writes what FlashCosyVoice does (see ``datagen.tts.batch``).
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np

from datagen.core.rng import stream
from tests.benchmarks.bursts import SOUND, Signal, drawn_fault, speech_like, spoiled
from tests.tts.speech_server import wav

FILE = ("skipped", "empty", "zeros", "no_wav", "header", "open", "cut", "odd")
"""Faults of a file: it is not written, has no bytes, is as long as it should be but all zeros (a disk that was full),
is a message, ends in its header, has a header without a length, is cut off at half, misses its last byte."""
KINDS = (*FILE, "short", "nan", *SOUND)


def run(todo: str, turn: int, share: float, seed: int) -> Counter[str]:
    """Makes the clips of a file of requests; how many came out well and badly, by kind of fault.

    ``turn`` counts the rounds: the tool is given another seed in each.
    """
    made: Counter[str] = Counter()
    for line in Path(todo).read_text(encoding="utf-8").splitlines():
        asked = json.loads(line)
        rng = stream(seed, asked["key"], f"tool/{turn}")
        fault = drawn_fault(asked["text"], share, KINDS, rng)
        made[fault] += 1
        if not Path(asked["prompt_wav"]).is_file():
            raise ValueError(f"the prompt {asked['prompt_wav']} is not there")
        if fault == "skipped":
            continue
        path = Path(asked["wav"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(damaged(content(spoiled(speech_like(asked["text"], rng), fault, rng), fault), fault))
    return made


def content(clip: Signal, fault: str) -> bytes:
    """A WAV file of 16 bits; of floats where 16 bits cannot hold the fault."""
    if fault == "nan":
        return wav(clip, subtype="FLOAT")
    return wav(np.round(np.clip(clip, -1, 1) * 32_767).astype(np.int16))


def damaged(content: bytes, fault: str) -> bytes:
    """The file with one of the faults of FILE; as it is for any other name."""
    match fault:
        case "empty":
            return b""
        case "zeros":
            return bytes(len(content))
        case "no_wav":
            return b"CUDA out of memory. Tried to allocate 2 GiB\n"
        case "header":
            return content[:40]
        case "open":
            return content[:40] + bytes(4) + content[44:]
        case "cut":
            return content[: len(content) // 2]
        case "odd":
            return content[:-1]
        case _:
            return content
