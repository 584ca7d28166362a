"""``Relay``: a bundle with its slow path and its voice, ready for conversations.

relay = Relay.from_pretrained("bundle or owner/name")
session = relay.session()                 inside a running event loop
session.hear(pcm) ... await session.told.get() ... await session.close()
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

from datagen.core.types import Voice
from trainer.runtime import backends
from trainer.runtime.bundle import Bundle, Defaults
from trainer.runtime.endpointing._base import Endpointer
from trainer.runtime.engine import Engine
from trainer.runtime.engine.model import Weights
from trainer.runtime.events import Mode
from trainer.runtime.following import Follow
from trainer.runtime.hearing._base import Hearing
from trainer.runtime.hearing.fast_path import Transcribe
from trainer.runtime.listening import Listener, ModelListener, VoiceListener
from trainer.runtime.parts import Parts
from trainer.runtime.session import Session

PLAIN_VOICE = Voice(
    id="plain",
    language="en",
    split="train",
    origin="espeak-ng formant synthesis",
    licence="output of espeak-ng (a GPL-3.0-or-later program); no licence on the audio",
    params={"base": "gmw/en-US", "variant": "f1", "pitch": 50, "range": 55, "rate_wpm": 170},
)
"""Of the speaking kind espeak where a bundle names no voice."""


@dataclass(frozen=True)
class Wishes:
    """How a bundle is opened, beside what it says itself. None: as the bundle says."""

    hearing: Mapping[str, Any] | None = None
    """The recogniser, such as ``{"kind": "faster_whisper", "model": ...}``."""
    answering: Mapping[str, Any] | None = None
    """The slow path's language model."""
    speaking: Mapping[str, Any] | None = None
    """The synthesizer."""
    endpointing: Mapping[str, Any] | None = None
    """Who ends a turn in mode cascade."""
    gated: bool = True
    """False: every draft is committed, whatever the verifier would say."""
    voices: Mapping[str, Voice] = field(default_factory=dict)
    """By name, those that a client may ask for beside the bundle's."""
    words: int | None = None
    """Of a prefix."""
    sessions: int = 8
    """At most, at the same time."""
    weights: Weights = "float32"
    """How the fast path computes (``Engine``)."""
    threads: int = 1
    """Of the processor, for the fast path."""
    inline: bool = False
    """For clocks that stand still while something is computed (``trainer.runtime.virtual``)."""
    replies: Any = None
    """Recorded answers, for the answering kind simulated."""

    def kinds(self, said: Defaults) -> dict[str, dict[str, Any]]:
        """Of every family."""
        return {family: dict(getattr(self, family) or getattr(said, family)) for family in backends.FAMILIES}


@dataclass(frozen=True)
class Relay:
    """Everything that conversations share; any number of sessions up to the engine's."""

    bundle: Bundle
    parts: Parts
    endpointing: Callable[[], Endpointer]
    """A new end-pointer for the cascade."""

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        revision: str | None = None,
        device: str = "cpu",
        **options: Any,
    ) -> Self:
        """Loads a bundle and what it names.

        Args:
            source: a folder, or ``owner/name`` on the Hub.
            revision: of the repository.
            device: cpu, cuda, ...
            options: what is taken instead of what the bundle names: ``Wishes``.

        ValueError, one line with the remedy, for whatever is missing.
        """
        return cls.of(Bundle.load(source, revision=revision, device=device), **options)

    @classmethod
    def of(cls, bundle: Bundle, **options: Any) -> Self:
        """A bundle that is loaded, with what it names or what ``options`` (``Wishes``) name instead.

        ValueError, one line with the remedy, for whatever is missing.
        """
        wishes = Wishes(**options)
        kinds = wishes.kinds(bundle.manifest.defaults)
        ends = backends.parse("endpointing", kinds["endpointing"])
        return cls(bundle, _parts(bundle, wishes, kinds), lambda: backends.make("endpointing", ends))

    def with_parts(self, **changed: Any) -> Relay:
        """The same model with other parts, such as another ``answerer``."""
        return replace(self, parts=replace(self.parts, **changed))

    def session(
        self,
        mode: Mode | None = None,
        *,
        listener: Listener | None = None,
        trigger: Literal["voice", "model"] = "voice",
        follow: Follow = "text",
        name: str = "",
    ) -> Session:
        """A new conversation, inside a running event loop. ``engine.Full`` where all are taken.

        Args:
            mode: relay, s2s or cascade; the bundle's own without.
            listener: who decides about the floor; the model, or in a cascade whoever ``trigger`` says.
            trigger: of a cascade: the end-pointer, or the model's [BOS].
            follow: what the model is told of the slow path's words (``Following``).
            name: part of the ids of what is said.
        """
        mode = mode or self.bundle.manifest.defaults.mode
        if listener is None:
            by_voice = mode == "cascade" and trigger == "voice"
            model = ModelListener(self.parts.tokens, self.parts.thresholds)
            listener = VoiceListener(self.endpointing()) if by_voice else model
        return Session(self.parts, mode, listener, _energy(), follow, name)

    def stop(self) -> None:
        """Ends the engine; sessions must be closed before."""
        self.parts.engine.stop()

    async def aclose(self) -> None:
        """The same, and gives back the slow path's connections."""
        await self.parts.answerer.aclose()
        self.stop()


def _parts(bundle: Bundle, wishes: Wishes, kinds: Mapping[str, dict[str, Any]]) -> Parts:
    fast, said = bundle.fast, bundle.manifest.defaults
    replies = {} if wishes.replies is None else {"replies": wishes.replies}
    engine = Engine(
        fast,
        bundle.decider,
        sessions=wishes.sessions,
        drafts=2 * wishes.sessions,
        context_ticks=said.context_ticks,
        weights=wishes.weights,
        threads=wishes.threads,
        inline=wishes.inline,
    )
    return Parts(
        engine=engine,
        tokens=fast.tokens,
        encode=fast.encode,
        thresholds=bundle.manifest.thresholds,
        hold=fast.preset.rules.mode == "clean" and fast.preset.rules.hold,
        answerer=_made("answering", kinds["answering"], **replies),
        hearing=_hearing(kinds["hearing"]),
        speaker=_made("speaking", kinds["speaking"]),
        voice=_voice(said, kinds["speaking"]),
        language=said.language,
        words=wishes.words or said.words,
        threshold=bundle.verifier.threshold if bundle.verifier else None,
        gated=wishes.gated,
        voices=wishes.voices,
        inline=wishes.inline,
    )


def _made(family: str, raw: Mapping[str, Any], **own: Any) -> Any:
    return backends.make(family, backends.parse(family, dict(raw)), **own)


def _hearing(raw: Mapping[str, Any]) -> Callable[[Transcribe], Hearing]:
    """Made once, but for the fast path's own, which is a session's."""
    if raw.get("kind") == "fast_path":
        return lambda transcribe: _made("hearing", raw, transcribe=transcribe)
    one = _made("hearing", raw)
    return lambda _: one


def _energy() -> Endpointer:
    """Says when the user's voice is heard; costs next to nothing."""
    return _made("endpointing", {"kind": "energy"})


def _voice(said: Defaults, speaks: Mapping[str, Any]) -> Voice:
    if said.voice is not None:
        return said.voice
    if speaks.get("kind") == "espeak":
        return PLAIN_VOICE
    raise ValueError(f"speaking kind {speaks.get('kind')!r}: the bundle names no voice; export it with --voice")


async def warm(relay: Relay) -> None:
    """Has what the first response would wait for done: the synthesizer's library, the slow path's processes."""
    relay.parts.speaker.begin(relay.parts.voice, 0, inline=True).cancel()
    await relay.parts.answerer.warm()
