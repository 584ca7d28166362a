"""The conversation's items in their order, as the protocol shows them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from trainer.runtime.server._calls import Message, Tool
from trainer.runtime.server._errors import Refusal

Status = Literal["in_progress", "completed", "incomplete"]
MOST = 4_096
"""Items kept of a conversation; beyond it the oldest are forgotten. An hour of turns is some hundreds."""
LONGEST = 2_000_000
"""Characters kept of a conversation's written items; beyond it the oldest items are forgotten."""


@dataclass(eq=False)
class Item:
    """One item. A message's ``content`` has one part per piece; everything that is not a message is in ``rest``."""

    id: str
    type: str
    role: str = ""
    status: Status = "completed"
    content: list[dict[str, Any]] = field(default_factory=list)
    rest: dict[str, Any] = field(default_factory=dict)
    produced_ms: float | None = None
    """Audio sent of a response's message; None for all other items."""
    cut: bool = False
    """The client has truncated it."""

    def shown(self) -> dict[str, Any]:
        """The item as the protocol shows it; a copy."""
        base = {"id": self.id, "object": "realtime.item", "type": self.type, "status": self.status}
        if self.type != "message":
            return base | self.rest
        return base | {"role": self.role, "content": [dict(part) for part in self.content]}

    @property
    def text(self) -> str:
        """The words of a message."""
        return " ".join(str(part.get("text") or part.get("transcript") or "") for part in self.content).strip()

    def say(self, words: str) -> None:
        """Make ``words`` the text of an assistant's only part."""
        part = self.content[0]
        part["text" if part["type"] == "output_text" else "transcript"] = words


def user_turn(id: str, transcript: str | None = None) -> Item:
    """A spoken turn of the user."""
    return Item(id, "message", "user", content=[{"type": "input_audio", "transcript": transcript}])


def created(id: str, made: Message | Tool) -> Item:
    """An item that the client adds. Refusal where it holds audio without its words."""
    if isinstance(made, Tool):
        rest = made.model_dump(exclude={"id", "type"}, exclude_none=True)
        return Item(id, made.type, rest=rest)
    kind = "output_text" if made.role == "assistant" else "input_text"
    content: list[dict[str, Any]] = []
    for number, part in enumerate(made.content):
        words = part.text if part.text is not None else part.transcript
        if words is None:
            place = f"item.content.{number}"
            raise Refusal("invalid_value", f"{place}: needs text or transcript; audio goes to the input buffer", place)
        content.append({"type": kind, "text": words})
    return Item(id, "message", made.role, content=content)


class Items:
    """Ordered, by id; bounded: the oldest go."""

    def __init__(self) -> None:
        self._items: list[Item] = []
        self._by_id: dict[str, Item] = {}
        self._sizes: dict[str, int] = {}
        self._size = 0

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, id: str) -> bool:
        return id in self._by_id

    @property
    def last(self) -> str | None:
        """The id of the last item."""
        return self._items[-1].id if self._items else None

    def get(self, id: str) -> Item | None:
        """The item of this id."""
        return self._by_id.get(id)

    def before(self, id: str) -> str | None:
        """The id of the item before this one; None where it is the first, or not there."""
        place = next((at for at, item in enumerate(self._items) if item.id == id), 0)
        return self._items[place - 1].id if place else None

    def add(self, item: Item, after: str | None = None) -> str | None:
        """Put the item last, or behind ``after`` ("root": first). Returns the id of the item before it."""
        if after is None:
            place = len(self._items)
        elif after == "root":
            place = 0
        else:
            place = 1 + next(at for at, other in enumerate(self._items) if other.id == after)
        before = self._items[place - 1].id if place else None
        self._items.insert(place, item)
        self._by_id[item.id] = item
        self._sizes[item.id] = len(str(item.content)) + len(str(item.rest))
        self._size += self._sizes[item.id]
        while len(self._items) > MOST or self._size > LONGEST:
            self.remove(self._items[0].id)
        return before

    def remove(self, id: str) -> None:
        """Forget the item."""
        self._items.remove(self._by_id.pop(id))
        self._size -= self._sizes.pop(id)

    def shown(self) -> list[dict[str, Any]]:
        """All items as the protocol shows them."""
        return [item.shown() for item in self._items]

    def system(self) -> str:
        """The words of all system messages, a line each."""
        return "\n".join(item.text for item in self._items if item.role == "system")
