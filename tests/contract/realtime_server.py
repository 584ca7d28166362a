"""A server with real sessions for stock clients: a tiny fast path, an end-pointer, the grammar, espeak-ng.

The fast path understands nothing, so every answer is the grammar's request to say it again, ``AGAIN``: what is said is
known, who speaks when is the end-pointer's decision.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soxr

from datagen import kinds
from datagen.core.units import SAMPLE_RATE
from tests.helpers import ROOT
from tests.runtime.relays import relay
from trainer.runtime.events import Mode
from trainer.runtime.relaying import PLAIN_VOICE, Relay
from trainer.runtime.server.app import Options, serve
from trainer.runtime.session import Session
from trainer.runtime.settings import Settings
from trainer.serving import sessions_of

AGAIN = "I am sorry, I could not make out what you were saying, so would you please tell me once more?"
"""Every answer of the slow path: long enough to be interrupted."""
USER = {
    "turn": "Could you tell me how the weather is going to be on Sunday?",
    "barge": "No wait, I meant the weather on Monday.",
}
"""What the user says: the turns, and into the assistant's answer."""
CLIENTS = ROOT / "tests" / "contract" / "clients"
ENVIRONMENT = Path(os.environ.get("CLIENTS_ENV") or ROOT / ".clients")
"""What ``make clients`` makes: ``py``, a virtual environment, and ``node``, a folder with node_modules."""
PATIENCE_S = 150
"""Seconds for a client: some import for half a minute where the machine is busy."""


def realtime() -> Relay:
    """Everything real but what the weights have learned. The verifier commits every draft; no control token fires."""
    again = {"kind": "grammar", "again": AGAIN, "likeness": 1.0, "dialogues": 50}
    return relay(inline=False, answering=again, replies=None, sessions=8)


def speech(folder: Path) -> Path:
    """The user's sentences as PCM16 of 24 kHz, one file each: ``turn.raw``, ``barge.raw``."""
    engine = kinds.make("tts", kinds.parse("tts", {"kind": "espeak"}))
    for name, text in USER.items():
        resampled = soxr.resample(engine.synthesize(text, PLAIN_VOICE, 0).pcm, SAMPLE_RATE, 24_000)
        (folder / f"{name}.raw").write_bytes(np.asarray(resampled).astype("<i2").tobytes())
    return folder


class Cut(NamedTuple):
    """A truncation that a client has asked for."""

    item: str
    ms: float
    heard: str


class Watched:
    """A session and what was asked of it."""

    def __init__(self, session: Session) -> None:
        self.session, self.cuts = session, list[Cut]()
        truncate = session.truncate

        def noted(item: str, ms: float) -> str:
            self.cuts.append(Cut(item, ms, truncate(item, ms)))
            return self.cuts[-1].heard

        session.truncate = noted

    def text(self, id: str) -> str:
        """The words of an item as the session remembers them."""
        return next(item.text for item in self.session.items if item.id == id)


@dataclass
class Stage:
    """A server at work, and the sessions that it has opened."""

    address: str
    """Without the protocol's last part, as clients want it."""
    sessions: list[Watched] = field(default_factory=list)


@asynccontextmanager
async def staged(shared: Relay, **options: Any) -> AsyncIterator[Stage]:
    """A server on a free port of loopback, for mode cascade where the client asks for no other."""
    make = sessions_of(shared)

    async def watched(mode: Mode, settings: Settings) -> Session:
        session = await make(mode, settings)
        assert isinstance(session, Session)
        stage.sessions.append(Watched(session))
        return session

    async with await serve(watched, Options(port=0, mode="cascade", **options)) as running:
        scheme = "wss" if options.get("certificate") else "ws"
        stage = Stage(f"{scheme}://127.0.0.1:{running.port}/v1")
        yield stage


async def played(command: list[str], **environment: str) -> dict[str, Any]:
    """Runs a client to its end; its report: the last line of its output."""
    base = {**os.environ, "PYTHONPATH": str(ROOT), "CLIENTS_ENV": str(ENVIRONMENT)}
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env={**base, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    tail = err.decode(errors="replace")[-3000:]
    assert process.returncode == 0, f"{command[-3:]} ended with {process.returncode}:\n{tail}"
    return json.loads(out.decode().strip().splitlines()[-1])
