"""The folder is the registry: a kind is a module with ``Config`` and ``make(config)``.

Adding a source, engine, noise, phenomenon or annotator is adding one file; nothing is registered anywhere.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from datagen.answers import Answers
from datagen.core.asking import Ask
from datagen.core.language import Language, Timing
from datagen.core.overlay import Scene
from datagen.core.timeline import Layout
from datagen.core.types import Cue, Dialogue, Place, Script, Strict, Unreadable, Voice, Word
from datagen.faults import Halt

T = TypeVar("T")

FAMILIES = ("sources", "llm", "tts", "asr", "voices", "noise", "phenomena", "exporters", "importers")


class KindConfig(Strict):
    """Base of every kind's ``Config``; ``kind`` names the module."""

    aside: ClassVar[frozenset[str]] = frozenset({"path"})
    """Fields that change nothing in the result (paths, addresses, timeouts, concurrency, names of keys): they are no
    part of an identity. A path counts with its contents where the kind has a ``fingerprint``."""

    kind: str


class Source(Protocol):
    """Text dialogues by position. ``read`` is pure: the same range gives the same dialogues in any process."""

    def size(self) -> int | None:
        """How many dialogues there are; None = as many as asked for."""
        ...

    def read(self, start: int, stop: int, seed: int) -> Iterator[Dialogue | Unreadable]:
        """Dialogues ``start`` to ``stop``, one item per position, in order."""
        ...


@dataclass(frozen=True)
class Speech:
    """What an engine returns: 16 kHz 16-bit mono samples, and one Word per whitespace word of the text.

    An engine that knows no word times gives ``words=None``: the clip is then trimmed, aligned or estimated.
    """

    pcm: npt.NDArray[np.int16]
    words: tuple[Word, ...] | None


class Unspoken(ValueError):
    """An engine failed to say a text this time: another seed or another prompt may do. One line, the reason."""


class NotYet(Halt):
    """Clips that are still to be made elsewhere, by a batch engine: the shard cannot be run before they are there."""

    def __init__(self, requests: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(f"{len(requests)} clips are still to be made; `datagen requests` writes them down")
        self.requests = tuple(requests)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.requests,)

    @classmethod
    def together(cls, waiting: Sequence[NotYet]) -> NotYet:
        """All of them as one."""
        return cls([request for one in waiting for request in one.requests])


class Engine(Protocol):
    """A text-to-speech engine. The result depends on the arguments alone, not on what was said before.

    An engine whose calls may run side by side in threads states how many in ``parallel`` (default 1).
    """

    def synthesize(self, text: str, voice: Voice, seed: int) -> Speech:
        """Raises Unspoken when trying again may help, ValueError when the text or the voice is at fault, OSError when
        the machine is (the server is gone, the disk is full)."""
        ...

    def check_voice(self, voice: Voice) -> None:
        """Raises ValueError when this engine cannot speak with the voice."""
        ...


@dataclass(frozen=True)
class Clip:
    """One noise clip a noise kind offers."""

    id: str
    scene: str
    licence: str
    origin: str


class NoiseSource(Protocol):
    """Noise clips by id."""

    def clips(self) -> Sequence[Clip]: ...

    def read(self, clip: Clip, seed: int) -> npt.NDArray[np.float32]:
        """The clip's mono samples at 16 kHz, full length, full scale = 1."""
        ...


@dataclass(frozen=True)
class Heard:
    """What a recogniser heard: whitespace words with their samples at 16 kHz, half-open; the language's own script."""

    words: tuple[tuple[str, int, int], ...]

    @property
    def text(self) -> str:
        return " ".join(word for word, _, _ in self.words)


class Recogniser(Protocol):
    """Speech to text, with the time of every word."""

    def transcribe(self, pcm: npt.NDArray[np.int16], language: str) -> Heard:
        """``pcm`` is 16 kHz mono; ``language`` a code such as ``en``."""
        ...


class Aligner(Protocol):
    """Finds the words of a known text in speech."""

    def align(self, pcm: npt.NDArray[np.int16], words: Sequence[str], language: str) -> dict[int, tuple[int, int]]:
        """Index of a word -> its samples ``[start, end)``, rising, for as many words as could be found."""
        ...


@dataclass(frozen=True)
class Recording:
    """One recording of a speaker in a collection of voices."""

    path: str
    text: str = ""
    """The transcript, where the collection has one."""


@dataclass(frozen=True)
class Person:
    """A speaker in a collection and their recordings, in order of name."""

    id: str
    language: str
    origin: str
    licence: str
    consent: str
    recordings: tuple[Recording, ...]
    gender: str = ""
    """``m`` or ``f``; empty where the collection does not say."""


class Voices(Protocol):
    """A collection of real people's voices to be cloned from prompts."""

    def people(self) -> Sequence[Person]:
        """Everyone with recordings, in order of id; ValueError when there is nobody."""
        ...


class LanguageModel(Protocol):
    """A language model. ``answers`` keeps what was paid for, and how much."""

    def ask(self, asks: Sequence[Ask], read: Callable[[Ask, str], T], answers: Answers) -> list[T | ValueError]:
        """Every question's answer as ``read`` understands it, or the ValueError that says why there is none.

        ``read`` raises ValueError for an answer it cannot accept; the model is then asked once more with the reason.
        Raises BudgetReached, or OSError when the service cannot be used (no key, no connection).
        """
        ...


class Annotator(Protocol):
    """Finds the places in a dialogue where a listener might react or a speaker hesitate."""

    def places(self, dialogue: Dialogue, language: Language) -> tuple[Place, ...]: ...


@dataclass(frozen=True)
class Need:
    """One thing a kind needs before it can work: a key, a package, a file, a model."""

    name: str
    found: str
    """What is there; empty when it is missing."""
    remedy: str = ""
    """How to get it, in one line."""


def needs(family: str, config: KindConfig) -> tuple[Need, ...]:
    """What a kind says it needs; nothing where it says nothing."""
    asked = getattr(module(family, config.kind), "needs", None)
    return tuple(asked(config)) if asked else ()


def unreadable(source: object) -> Iterator[Unreadable]:
    """What a collection of noise or voices cannot offer, as its ``problems()`` tell: lines of "where: reason"."""
    for problem in getattr(source, "problems", list)():
        where, _, reason = problem.partition(": ")
        yield Unreadable(id=where, where=where, reason=reason or problem)


def names(family: str, home: str = "datagen") -> list[str]:
    """The kinds a family holds: the modules in its folder, in the package ``home``."""
    package = importlib.import_module(f"{home}.{family}")
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))


def module(family: str, kind: str, home: str = "datagen") -> ModuleType:
    """The module of a kind; ValueError names the kinds there are."""
    if kind not in (known := names(family, home)):
        raise ValueError(f"unknown kind {kind!r} of {family}; there are: {', '.join(known)}")
    return importlib.import_module(f"{home}.{family}.{kind}")


def parse(family: str, raw: dict[str, Any]) -> KindConfig:
    """A typed config from a recipe's mapping."""
    if "kind" not in raw:
        raise ValueError(f"a mapping of {family} needs a key 'kind'; there are: {', '.join(names(family))}")
    return module(family, str(raw["kind"])).Config.model_validate(raw)


def make(family: str, config: KindConfig) -> Any:
    """What a config stands for, built once per process: heavy engines load once and never travel through pickle."""
    return _made(family, config.kind, config.model_dump_json())


@lru_cache(maxsize=32)
def _made(family: str, kind: str, config_json: str) -> Any:
    found = module(family, kind)
    return found.make(found.Config.model_validate_json(config_json))


class Phenomenon(Protocol):
    """One duplex phenomenon: it annotates cues, then acts on the plan. Methods it does not need return their input.

    A cue that cannot be realised raises ``Unfit`` and is recorded as dropped.
    """

    def cue(self, script: Script, language: Language, rng: np.random.Generator) -> Script:
        """The script with this phenomenon's cues, and with the words they add to its turns."""
        ...

    def shape(self, cue: Cue, layout: Layout, timing: Timing, rng: np.random.Generator) -> Layout:
        """The layout of the cue's own turn, changed by the cue."""
        ...

    def overlay(self, cue: Cue, scene: Scene, spoken: Layout | None, timing: Timing, rng: np.random.Generator) -> Scene:
        """The placed turns with what is heard over them; ``spoken`` is the cue's own utterance, if it speaks."""
        ...
