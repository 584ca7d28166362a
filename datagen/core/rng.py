"""Randomness has a name: every draw comes from a stream keyed by (seed, conversation, purpose).

Nothing depends on the order of the work, the worker, the process or the time, so the same recipe gives the same
bytes with one worker or many, and adding a conversation changes no other.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np


def key(seed: int, conversation_id: str, purpose: str) -> int:
    """A 64-bit number that depends on all three arguments and on nothing else."""
    text = f"{seed}\x1f{conversation_id}\x1f{purpose}".encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")


def stream(seed: int, conversation_id: str, purpose: str) -> np.random.Generator:
    """An independent generator for one purpose in one conversation."""
    return np.random.Generator(np.random.PCG64(key(seed, conversation_id, purpose)))
