"""A relay behind the server: every connection gets a session of its own."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import Callable
from typing import Literal

from trainer.runtime.engine import Full as RowsFull
from trainer.runtime.events import Mode
from trainer.runtime.relaying import Relay, warm
from trainer.runtime.server._session import Full, MakeSession, Session
from trainer.runtime.server.app import Options, serve
from trainer.runtime.settings import Settings


def sessions_of(relay: Relay, trigger: Literal["voice", "model"] = "voice") -> MakeSession:
    """Opens the relay's sessions for a server; ``trigger`` is what a cascade answers to."""

    async def make(mode: Mode, settings: Settings) -> Session:
        try:
            session = relay.session(mode, name=secrets.token_hex(4))
        except RowsFull as error:
            raise Full(str(error)) from error
        session.configure(settings)
        return session

    return make


async def serve_relay(
    relay: Relay, options: Options, say: Callable[[str], None], trigger: Literal["voice", "model"] = "voice"
) -> None:
    """Serves until the process is told to end; sessions under way are closed cleanly, then the relay."""
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, over.set)
    try:
        await warm(relay)
        async with await serve(sessions_of(relay, trigger), options) as server:
            say(server.url)
            await over.wait()
    finally:
        await relay.aclose()
