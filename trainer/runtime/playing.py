"""Plays a recorded user to a session, in real time or on a jumping clock, and keeps all that comes of it."""

from __future__ import annotations

import asyncio

import numpy as np
import numpy.typing as npt

from datagen.core.units import FRAME_SAMPLES, SAMPLE_RATE
from trainer.runtime.recording import Recording
from trainer.runtime.session import Session

CHUNK = FRAME_SAMPLES // 4
"""Audio comes in pieces of 40 ms, as from a client."""
AFTER_S = 20.0
"""Silence after the recording in which a response may still end."""


async def play(session: Session, pcm: npt.NDArray[np.int16]) -> Recording:
    """The user's channel into a session; the session is closed at the end.

    After the recording silence follows until the response that is under way has ended, AFTER_S at most.
    """
    loop = asyncio.get_running_loop()
    found = Recording()
    listening = asyncio.create_task(_listen(session, found))
    began, sent = loop.time(), 0
    silence = np.zeros(CHUNK, np.int16)
    longest = len(pcm) + round(AFTER_S * SAMPLE_RATE)
    try:
        while sent < len(pcm) or (sent < longest and session.response is not None):
            chunk = pcm[sent : sent + CHUNK] if sent < len(pcm) else silence
            # A piece is there when its last sample has been spoken.
            await asyncio.sleep(max(0.0, began + (sent + len(chunk)) / SAMPLE_RATE - loop.time()))
            session.hear(chunk)
            sent += len(chunk)
        while session.behind and not listening.done():
            await asyncio.sleep(FRAME_SAMPLES / SAMPLE_RATE)
    finally:
        await session.close()
        while not session.told.empty():
            await asyncio.sleep(0)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    return found


async def _listen(session: Session, found: Recording) -> None:
    while True:
        found.take(await session.told.get())
