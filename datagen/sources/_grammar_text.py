"""The text half of the grammar language: templates, the nodes they become, and how pieces become a spoken line.

A template is spoken text with ``(one|two|three)`` alternatives, ``<phrase>`` references and ``$slot`` or
``$slot.field`` values; ``grammars/en/shared.yaml`` explains it to writers. Everything here is pure.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

_TOKEN = re.compile(
    r"<(?P<phrase>[a-z][a-z0-9_]*)>"
    r"|\$(?P<slot>[a-z][a-z0-9_]*)(?:\.(?P<field>[a-z][a-z0-9_]*))?"
    r"|(?P<mark>[(|)])"
    r"|(?P<text>[^<>$()|]+)"
    r"|(?P<stray>.)",
    re.DOTALL,
)
_WEIGHT = re.compile(r"\s*(\d+(?:\.\d+)?)x\s+")
_NOT_SPOKEN = frozenset('/&%#@*_\\"')
_NOT_SPOKEN_CLASSES = ("N", "S", "C", "Ps", "Pe", "Z")


@dataclass(frozen=True, slots=True, eq=False)
class Literal:
    """Fixed words. ``sound`` is what is compared: see :func:`sound`."""

    text: str
    sound: str


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """A field of a slot's value: one text and one sound per row of the slot's table."""

    name: str
    family: frozenset[str]
    """The other slots of the same table: they never hold the same row at the same time."""
    texts: tuple[str, ...]
    sounds: tuple[str, ...]

    def rows(self, env: Mapping[str, int]) -> Sequence[int]:
        """The rows the slot may still take: its own once bound, else all that its family leaves."""
        if self.name in env:
            return (env[self.name],)
        if not self.family:
            return range(len(self.texts))
        taken = {env[name] for name in self.family if name in env}
        return [row for row in range(len(self.texts)) if row not in taken]


@dataclass(frozen=True, slots=True, eq=False)
class Alternatives:
    """One of several sequences; ``bounds`` are the cumulated weights."""

    options: tuple[Nodes, ...]
    bounds: tuple[float, ...]

    def pick(self, number: float) -> Nodes:
        """The option at ``number`` in [0, 1)."""
        return self.options[bisect(self.bounds, number * self.bounds[-1])]


Node = Literal | Slot | Alternatives
Nodes = tuple[Node, ...]


def alternatives(weighted: list[tuple[float, Nodes]]) -> Alternatives:
    """Alternatives from pairs of weight and sequence."""
    return Alternatives(tuple(s for _, s in weighted), tuple(accumulate(w for w, _ in weighted)))


def sound(text: str, silent: frozenset[str] = frozenset()) -> str:
    """What is compared of a text: casefolded words with one space between, apostrophes joined, the rest a space.

    Words in ``silent`` (hesitations) count as nothing. A space at either end is kept: it separates from neighbours.

    >>> sound("Well, it's twenty-five.", frozenset({"well"}))
    'its twenty five '
    """
    flat = re.sub(r"[\W_]+", " ", unicodedata.normalize("NFC", text).replace("'", "").replace("’", "").casefold())
    words = [word for word in flat.split() if word not in silent]
    if not words:
        return " " if flat.strip() or " " in flat else ""
    return (" " if flat[0] == " " else "") + " ".join(words) + (" " if flat[-1] == " " else "")


def spoken(raw: str) -> str:
    """One line as it is written: single spaces, none before punctuation, sentences with a capital.

    >>> spoken("hola . ¿ me oyes ?")
    'Hola. ¿Me oyes?'
    """
    line = " ".join(raw.split())
    line = re.sub(r" ([,.;:?!…])", r"\1", line)
    line = re.sub(r"([¿¡]) ", r"\1", line)
    return re.sub(r"(^|[.?!…] )([¿¡]*)(\w)", lambda m: m[1] + m[2] + m[3].upper(), line)


def weight_of(text: str) -> tuple[float, str]:
    """An alternative's weight and the rest of it.

    >>> weight_of("3x sure"), weight_of("sure")
    ((3.0, 'sure'), (1.0, 'sure'))
    """
    if match := _WEIGHT.match(text):
        return float(match[1]), text[match.end() :]
    return 1.0, text


def check_speakable(text: str) -> None:
    """Refuses what nobody can say: digits, brackets, symbols, control characters.

    Raises ValueError naming the character.
    """
    for char in text:
        kind = unicodedata.category(char)
        if char != " " and (char in _NOT_SPOKEN or kind.startswith(_NOT_SPOKEN_CLASSES)):
            raise ValueError(f"{char!r} in {text.strip()[:40]!r} cannot be spoken; write it out in words")


def speakable(raw: str) -> str:
    """A template's or value's text on one line in composed characters, checked by :func:`check_speakable`."""
    text = unicodedata.normalize("NFC", re.sub(r"\s+", " ", raw))
    check_speakable(text)
    return text


class Parser:
    """Turns one template into a sequence of nodes; the two callbacks link phrases and slots.

    Raises ValueError naming what is wrong in the template.
    """

    def __init__(
        self,
        template: str,
        phrase: Callable[[str], Node],
        slot: Callable[[str, str | None], Node],
        silent: frozenset[str],
    ) -> None:
        self._template = template
        self._tokens = list(_TOKEN.finditer(template))
        self._at = 0
        self._phrase = phrase
        self._slot = slot
        self._silent = silent

    def parse(self) -> Nodes:
        """The whole template."""
        sequence = self._sequence(depth=0)
        if self._at < len(self._tokens):
            raise ValueError(f"{self._tokens[self._at][0]!r} without a '(' before it in {self._template[:60]!r}")
        return sequence

    def _sequence(self, depth: int) -> Nodes:
        nodes: list[Node] = []
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            if token["mark"] in ("|", ")"):
                break
            self._at += 1
            nodes.append(self._group(depth) if token["mark"] else self._leaf(token))
        return tuple(nodes)

    def _leaf(self, token: re.Match[str]) -> Node:
        if token["phrase"]:
            return self._phrase(token["phrase"])
        if token["slot"]:
            return self._slot(token["slot"], token["field"])
        if token["stray"]:
            raise ValueError(f"stray {token['stray']!r} in {self._template[:60]!r}; write <phrase> or $slot")
        text = speakable(token["text"])
        return Literal(text, sound(text, self._silent))

    def _group(self, depth: int) -> Node:
        weighted: list[tuple[float, Nodes]] = []
        while True:
            weighted.append((self._inline_weight(), self._sequence(depth + 1)))
            if self._at >= len(self._tokens):
                raise ValueError(f"a '(' is never closed in {self._template[:60]!r}")
            self._at += 1
            if self._tokens[self._at - 1]["mark"] == ")":
                return alternatives(weighted)

    def _inline_weight(self) -> float:
        """Reads ``3x`` at the start of an alternative off the next token."""
        token = self._tokens[self._at] if self._at < len(self._tokens) else None
        if token is None or not token["text"] or not _WEIGHT.match(token["text"]):
            return 1.0
        weight, rest = weight_of(token["text"])
        replaced = _TOKEN.match(rest)
        if replaced:
            self._tokens[self._at] = replaced
        else:
            self._at += 1
        return weight


def can_be_empty(sequence: Nodes) -> bool:
    """Whether a sequence may say nothing at all."""
    return all(
        (isinstance(node, Literal) and not node.sound.strip())
        or (isinstance(node, Alternatives) and any(can_be_empty(option) for option in node.options))
        for node in sequence
    )
