"""What a client asks of a session. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """A new value replaces the old one whole."""

    instructions: str = ""
    respond: bool = True
    """Answer at [BOS]. False: only at ``request``."""
    interrupt: bool = True
    """Stop at [STP]. False: only at ``cancel``."""
    voice: str = ""
    language: str | None = None
    """Language of the user's speech, where the client says it."""
