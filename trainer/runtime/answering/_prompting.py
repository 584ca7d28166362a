"""How a conversation is put to a language model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

from datagen.core.types import Turn

SYSTEM = (
    "You are a helpful assistant in a spoken conversation. Answer briefly, in plain sentences that sound natural when "
    "they are read aloud: no lists, headings, symbols or emoji."
)
UNHEARD = "(The user said something that could not be understood.)"
"""Stands for a user's turn of which the recogniser made nothing."""
TASK = (
    "You are the assistant and have already begun, aloud, to answer the user's last turn. The words spoken so far "
    "cannot be taken back. Go on from exactly the point where they end, in the same sentence unless it is complete, "
    "so that the spoken words and yours together are one natural answer. Write only what comes next: no label, none "
    "of the spoken words again, no filler in front."
)


class Message(TypedDict):
    """One message of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


def system_text(own: str | None, instructions: str) -> str:
    """What the model is told to be: the kind's own words, then the client's."""
    return "\n\n".join(text.strip() for text in (own or "", instructions) if text.strip())


def messages(history: Sequence[Turn], user: str, turns: int) -> list[Message]:
    """The last ``turns`` turns of the history and the user's, without a system message.

    Turns in a row by the same speaker become one, for the templates that want the speakers to alternate; the first one
    is the user's for the same reason.
    """
    recent = [*_recent(history, turns), ("user", user.strip() or UNHEARD)]
    told: list[Message] = []
    for speaker, text in recent:
        if told and told[-1]["role"] == speaker:
            told[-1]["content"] += f" {text}"
        elif told or speaker == "user":
            told.append({"role": "user" if speaker == "user" else "assistant", "content": text})
    return told


def instruction(history: Sequence[Turn], user: str, prefix: str, turns: int) -> str:
    """One message that asks a model which cannot be forced to go on after the words of ``prefix``."""
    recent = [*_recent(history, turns), ("user", user.strip() or UNHEARD)]
    lines = "\n".join(f"{speaker.capitalize()}: {text}" for speaker, text in recent)
    return f"# Conversation\n{lines}\n\n# Task\n{TASK}\n\n# Words spoken so far\n{prefix}"


def _recent(history: Sequence[Turn], turns: int) -> list[tuple[str, str]]:
    return [(turn.speaker, turn.text) for turn in history[max(0, len(history) - turns) :]]
