"""A server with real sessions for stock clients: a random fast path, an end-pointer, the grammar, espeak-ng.

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
from typing import Any

import numpy as np
import soxr
import torch

from datagen import kinds
from datagen.core.types import Voice
from datagen.core.units import SAMPLE_RATE
from tests.helpers import ROOT
from tests.runtime.talker import talker
from trainer.calibration import Calibration
from trainer.firing import Thresholds
from trainer.model.verifier import Decider, Verifier, VerifierShape
from trainer.runtime.bundle import Bundle, Defaults, Manifest
from trainer.runtime.events import Mode
from trainer.runtime.relaying import Relay
from trainer.runtime.server.app import Options, Running, serve
from trainer.runtime.session import Session
from trainer.runtime.settings import Settings
from trainer.serving import sessions_of

AGAIN = "I am sorry, I could not make out what you were saying, so would you please be so kind and tell me once more?"
"""Every answer of the slow path: long enough to be interrupted."""
USER = {
    "turn": "Could you tell me how the weather is going to be on Sunday?",
    "barge": "No wait, I meant the weather on Monday.",
}
"""What the user says: the turns, and into the assistant's answer."""
VOICE = Voice(
    id="quick",
    language="en",
    split="train",
    origin="espeak-ng formant synthesis",
    licence="output of espeak-ng",
    params={"base": "gmw/en-US", "variant": "f1", "pitch": 50, "range": 55, "rate_wpm": 220},
)
CLIENTS = ROOT / "tests" / "contract" / "clients"
ENVIRONMENT = Path(os.environ.get("CLIENTS_ENV") or ROOT / ".clients")
"""What ``make clients`` makes: ``py``, a virtual environment, and ``node``, a folder with node_modules."""
PATIENCE_S = 150
"""Seconds for a client: some import for half a minute where the machine is busy."""


def relay() -> Relay:
    """Everything real but what the weights have learned. The verifier commits every draft; no control token fires."""
    fast = talker()
    width = fast.duplex.width
    torch.manual_seed(0)
    verifier = Verifier(VerifierShape(hidden_size=width, width=8)).eval()
    never = Thresholds(bos=1, stp=1, boc=1)
    defaults = Defaults(
        mode="cascade",
        voice=VOICE,
        answering={"kind": "grammar", "again": AGAIN, "likeness": 1.0, "dialogues": 50},
    )
    manifest = Manifest(name="random", defaults=defaults, thresholds=never, thresholds_from="none", files={})
    decider = Decider(verifier, 0.0, Calibration())
    return Relay.of(Bundle(Path(), manifest, fast, None, decider), sessions=8)


def speech(folder: Path) -> Path:
    """The user's sentences as PCM16 of 24 kHz, one file each: ``turn.raw``, ``barge.raw``."""
    engine = kinds.make("tts", kinds.parse("tts", {"kind": "espeak"}))
    for name, text in USER.items():
        resampled = soxr.resample(engine.synthesize(text, VOICE, 0).pcm, SAMPLE_RATE, 24_000)
        (folder / f"{name}.raw").write_bytes(np.asarray(resampled).astype("<i2").tobytes())
    return folder


@dataclass
class Stage:
    """A server at work, and the sessions that it has opened."""

    running: Running
    sessions: list[Session] = field(default_factory=list)

    def item(self, id: str) -> str:
        """The words of an item as the session that made it remembers them; the last session of that many wins."""
        found = [item.text for session in self.sessions for item in session.items if item.id == id]
        assert found, f"no session has an item {id}"
        return found[-1]


@asynccontextmanager
async def staged(shared: Relay, **options: Any) -> AsyncIterator[Stage]:
    """A server on a free port of loopback."""
    opened: list[Session] = []
    make = sessions_of(shared)

    async def kept(mode: Mode, settings: Settings) -> Session:
        session = await make(mode, settings)
        assert isinstance(session, Session)
        opened.append(session)
        return session

    async with await serve(kept, Options(port=0, mode="cascade", **options)) as running:
        yield Stage(running, opened)


async def played(command: list[str], environment: dict[str, str]) -> dict[str, Any]:
    """Runs a client to its end; its report: the last line of its output."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
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
