"""The studio: makes a clip for a line, listens to it, and makes it again until it is good.

A clip that breaks a rule (``core/acceptance``) is made again with another seed, then with another prompt of the voice;
when all attempts are used up it is refused with the reason of the last one. Short texts come from a bank: a few
verified clips per voice and text, which many conversations share.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from pydantic import Field

from datagen.asr._matching import matched
from datagen.asr._wording import normal_words
from datagen.core import acceptance
from datagen.core.acceptance import Acceptance
from datagen.core.audio import Pcm, fade_edges, from_pcm16, to_pcm16
from datagen.core.rng import key, stream
from datagen.core.types import Speaker, Strict, Voice, Word
from datagen.core.units import from_ms
from datagen.core.words import fill_word_times
from datagen.files import Folder
from datagen.identity import digest
from datagen.kinds import Aligner, Engine, Heard, Recogniser, Speech, Unspoken, make
from datagen.stages.inputs import Inputs

if TYPE_CHECKING:
    from datagen.stages.synthesize import Config

EDGE_FADE_MS = 10
"""At both ends of a clip that was trimmed (COSYVOICE: clicks at the ends)."""


class Refused(ValueError):
    """No acceptable clip could be made."""


class Bank(Strict):
    """Verified clips per voice and short text: the recipe's key ``bank``."""

    variants: int = Field(default=6, ge=1, le=100)
    """Different clips of one text by one voice."""
    max_words: int = Field(default=3, ge=1, le=5)
    """Texts of cues up to so many words come from the bank."""


@dataclass(frozen=True)
class Line:
    """One thing to be said."""

    record: str
    turn: int
    cue: int | None
    speaker: Speaker
    text: str
    voice: Voice

    @property
    def name(self) -> str:
        """Its purpose among the record's random draws."""
        return f"speech/{self.turn}/{'turn' if self.cue is None else self.cue}"


@dataclass(frozen=True)
class Clip:
    """An accepted clip."""

    pcm: Pcm
    words: tuple[Word, ...]
    attempts: int
    wer: float | None


@dataclass(frozen=True)
class Studio:
    """Everything a clip needs; cheap to make, its parts live once per process."""

    config: Config
    engine: Engine
    recogniser: Recogniser | None
    aligner: Aligner | None
    shelf: Folder

    @classmethod
    def of(cls, config: Config, inputs: Inputs) -> Self:
        """The studio of a stage's config."""
        return cls(
            config=config,
            engine=make("tts", config.tts),
            recogniser=make("asr", config.asr) if config.asr is not None else None,
            aligner=make("asr", config.aligner) if config.aligner is not None else None,
            shelf=inputs.beside("bank"),
        )

    @property
    def parallel(self) -> int:
        """How many lines may be spoken at the same time."""
        return int(getattr(self.engine, "parallel", 1))

    def clip(self, line: Line) -> Clip:
        """An accepted clip of a line; Refused when there is none, NotYet when it is still to be made elsewhere."""
        bank = self.config.bank
        if bank is None or line.cue is None or len(line.text.split()) > bank.max_words:
            return self._made(line, line.record, line.name)
        first = int(stream(self.config.seed, line.record, line.name).integers(bank.variants))
        reasons: list[Refused] = []
        for number in range(bank.variants):
            try:
                return self._banked(line, (first + number) % bank.variants)
            except Refused as reason:
                reasons.append(reason)
        raise reasons[0]

    def _banked(self, line: Line, variant: int) -> Clip:
        """A variant of the bank, made by whoever needs it first."""
        kept = _Shelf(self.shelf, f"{line.voice.id}/{_shelf_mark(self.config, line, variant)}")
        clip = kept.read()
        if clip is None:
            try:
                clip = self._made(line, f"bank/{line.voice.id}", f"{line.text}/{variant}")
            except Refused as reason:
                clip = reason
            kept.write(clip)
        if isinstance(clip, Refused):
            raise clip
        return clip

    def _made(self, line: Line, record: str, name: str) -> Clip:
        reason, number = "no attempt was made", 0
        for number, voice in enumerate(_castings(line, self.config.acceptance), 1):
            seed = key(self.config.seed, record, name if number == 1 else f"{name}/{number}")
            try:
                speech = self.engine.synthesize(line.text, voice, seed)
                return self._judged(line, voice, speech, number)
            except Unspoken as fault:
                reason = str(fault)
        raise Refused(f"{reason}; {number} attempts")

    def _judged(self, line: Line, voice: Voice, speech: Speech, number: int) -> Clip:
        """The clip with its word times; Unspoken when it breaks a rule."""
        rules, words = self.config.acceptance, line.text.split()
        pcm = _trimmed(speech.pcm, rules) if speech.words is None else speech.pcm
        found = acceptance.faults(pcm, line.text, rules, heard=self.recogniser is not None)
        if not found and speech.words is None:
            found = acceptance.abrupt(speech.pcm, line.text, rules)
        if found:
            raise Unspoken("; ".join(found))
        heard = None if self.recogniser is None else self.recogniser.transcribe(pcm, self.config.language)
        wer = None if heard is None else self._compared(line, voice, heard)
        times = speech.words if speech.words is not None else self._timed(pcm, words, heard)
        return Clip(pcm, times, number, wer)

    def _compared(self, line: Line, voice: Voice, heard: Heard) -> float:
        """Word errors per word; Unspoken when there are too many."""
        prompt = voice.prompts[0].text if voice.prompts else ""
        said, there, before = (normal_words(text, self.config.language) for text in (line.text, heard.text, prompt))
        found = acceptance.hearing(said, there, before, self.config.acceptance)
        if found.faults:
            raise Unspoken("; ".join(found.faults))
        return round(found.wer, 4)

    def _timed(self, pcm: Pcm, words: Sequence[str], heard: Heard | None) -> tuple[Word, ...]:
        """Word times by the aligner, else by what was heard; those of the other words are estimated and marked."""
        known: Mapping[int, tuple[int, int]] = {}
        if self.aligner is not None:
            known = self.aligner.align(pcm, words, self.config.language)
        elif heard is not None:
            known = matched(words, heard, self.config.language)
        return fill_word_times(words, known, 0, pcm.size)


def _castings(line: Line, rules: Acceptance) -> Iterator[Voice]:
    """The voice once per attempt, with the prompt to be used in front: best first for a turn, shortest first for a cue
    (CosyVoice fails on texts much shorter than the prompt)."""
    prompts = line.voice.prompts
    if line.cue is not None:
        prompts = tuple(sorted(prompts, key=lambda prompt: prompt.seconds))
    for prompt in prompts[: rules.prompts] or (None,):
        voice = line.voice if prompt is None else line.voice.model_copy(update={"prompts": (prompt,)})
        yield from (voice for _ in range(rules.attempts))


def _trimmed(pcm: Pcm, rules: Acceptance) -> Pcm:
    """The clip without the silence around it, its new edges faded."""
    start, stop = acceptance.trimmed(pcm, from_ms(rules.keep_edge_ms))
    fade = from_ms(EDGE_FADE_MS)
    faded, _ = to_pcm16(fade_edges(from_pcm16(pcm[start:stop]), fade, fade))
    return faded


def _shelf_mark(config: Config, line: Line, variant: int) -> str:
    """A file name that holds everything that decides the clip beside the voice's own name."""
    engines = [config.tts, config.asr, config.aligner, config.acceptance, config.language, config.seed]
    return digest([engines, line.voice, line.text, variant])[:32]


@dataclass(frozen=True)
class _Shelf:
    """One place of the bank: a line of JSON, and the samples behind it."""

    folder: Folder
    name: str

    def read(self) -> Clip | Refused | None:
        """What is there, if it is whole."""
        if not self.folder.exists(self.name):
            return None
        head, _, samples = self.folder.read(self.name).partition(b"\n")
        try:
            found: dict[str, Any] = json.loads(head)
        except ValueError:
            return None
        if found.get("nbytes") != len(samples):
            return None
        if "refused" in found:
            return Refused(found["refused"])
        words = tuple(Word.model_validate(word) for word in found["words"])
        return Clip(np.frombuffer(samples, "<i2"), words, found["attempts"], found["wer"])

    def write(self, clip: Clip | Refused) -> None:
        """Whole or not at all."""
        if isinstance(clip, Refused):
            head, samples = {"refused": str(clip)}, b""
        else:
            samples = clip.pcm.astype("<i2", copy=False).tobytes()
            head = {"words": [w.model_dump() for w in clip.words], "attempts": clip.attempts, "wer": clip.wer}
        content = json.dumps({**head, "nbytes": len(samples)}).encode() + b"\n" + samples
        self.folder.write(self.name, content, durable=False)
