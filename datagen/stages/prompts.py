"""prompts: the people of a collection of voices, and for each the recordings to clone them from.

Not a stage of a recipe: ``casting`` runs it, once per collection, and makes a voice manifest of its output.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any

import fsspec
import numpy as np
import soundfile
import soxr
from pydantic import Field, SerializeAsAny

from datagen.core.audio import Signal, to_pcm16
from datagen.core.prompt_choice import Choice, Offer, choose, text_fault, unheard
from datagen.core.prompting import Rules, cuts, listen, whole
from datagen.core.types import Blob, Strict, Unreadable
from datagen.core.units import SAMPLE_RATE
from datagen.kinds import KindConfig, Person, Recogniser, Recording, Voices, make, unreadable
from datagen.stages.inputs import Inputs, Put

NAME = "prompts"
VERSION = 1
JOURNALED = True
"""Decoders and recognisers are native code: a person that kills the process must be found."""

LOWEST_RATE = 16_000
HIGHEST_RATE = 24_000
"""The rate CosyVoice2 speaks at; recordings of a lower one keep their own."""
MOST_SECONDS = 120
"""Read of one recording; hours of an audiobook would add nothing."""


class Config(Strict):
    collection: SerializeAsAny[KindConfig]
    asr: SerializeAsAny[KindConfig] | None = None
    """Tells what is said where the collection does not; None = only recordings with a text are used."""
    rules: Rules = Rules()
    long: int = Field(default=2, ge=1, le=8)
    """Prompts of full length per person."""
    short: int = Field(default=1, ge=0, le=4)
    """Short ones, for backchannels."""
    tries: int = Field(default=8, ge=1)
    """Stretches of either length that the recogniser hears before a person is given up."""
    people_per_shard: int = Field(default=20, ge=1)


class CutPrompt(Strict):
    """One prompt: a whole wav file in the pack."""

    wav: Blob
    sha256: str
    text: str
    seconds: float
    snr_db: float
    """Of the recording it is from, as far as its pauses tell."""


class CastVoice(Strict):
    """A person who can be cloned."""

    id: str
    language: str
    origin: str
    licence: str
    consent: str
    params: dict[str, str | int | float] = Field(default_factory=dict)
    prompts: tuple[CutPrompt, ...]


def num_shards(config: Config) -> int:
    """Shards the collection needs; ValueError when there is nobody in it."""
    collection: Voices = make("voices", config.collection)
    return -(-len(collection.people()) // config.people_per_shard)


def records(config: Config, shard: int, inputs: Inputs) -> Iterator[Person | Unreadable]:
    """The shard's people, and with the first shard those whom the collection cannot offer."""
    collection: Voices = make("voices", config.collection)
    if shard == 0:
        yield from unreadable(collection)
    start = shard * config.people_per_shard
    yield from collection.people()[start : start + config.people_per_shard]


def process(person: Person, config: Config, inputs: Inputs, put: Put) -> CastVoice:
    """The person with prompts; refuses one of whom there is none."""
    offers, faults = _offers(person, config)
    if not offers and faults:
        raise ValueError(f"none of {len(person.recordings)} recordings can be used; the first: {faults[0]}")
    chosen = choose(
        offers,
        lambda offer: _heard(person, offer, config),
        config.rules,
        long=config.long,
        short=config.short,
        tries=config.tries,
    )
    gender = person.gender
    return CastVoice(
        id=person.id,
        language=person.language,
        origin=person.origin,
        licence=person.licence,
        consent=person.consent,
        params={"gender": gender} if gender else {},
        prompts=tuple(_prompt(person, choice, put) for choice in chosen),
    )


def _offers(person: Person, config: Config) -> tuple[list[Offer], list[str]]:
    """What could be cut from the person's recordings, and what is wrong with those that offer nothing."""
    offers: list[Offer] = []
    faults: list[str] = []
    for number, recording in enumerate(person.recordings):
        try:
            offers += _of_recording(number, recording, config)
        except ValueError as error:
            faults.append(f"{_name(recording)}: {error}")
    return offers, faults


def _of_recording(number: int, recording: Recording, config: Config) -> list[Offer]:
    """What could be cut from a recording; ValueError when nothing.

    One with a text is offered as a whole, since nothing tells which words are said where. Where it or its text will
    not do as a whole, a recogniser hears its parts.
    """
    if not recording.text and config.asr is None:
        raise ValueError("has no text, and no recogniser (asr) is there to hear one")
    hearing = listen(*read(recording.path))
    everything = whole(hearing, config.rules)
    fault = everything.fault or text_fault(recording.text, everything.speaking_seconds, config.rules)
    if not fault:
        return [Offer(number, everything, recording.text)]
    if config.asr is None:
        raise ValueError(f"cannot be used as a whole: {fault}")
    return [Offer(number, cut) for cut in cuts(hearing, config.rules)]


def _heard(person: Person, offer: Offer, config: Config) -> str:
    """What the recogniser hears in a cut; ValueError when it leaves out a part."""
    assert config.asr is not None
    recogniser: Recogniser = make("asr", config.asr)
    signal, rate = _samples(person.recordings, offer)
    pcm, _ = to_pcm16(_at_rate(signal, rate, SAMPLE_RATE))
    heard = recogniser.transcribe(pcm, person.language)
    if fault := unheard(offer.cut, [(start, end) for _, start, end in heard.words]):
        raise ValueError(fault)
    return heard.text


def _prompt(person: Person, choice: Choice, put: Put) -> CutPrompt:
    """The cut as a 16-bit mono wav file."""
    signal, rate = _samples(person.recordings, choice.offer)
    pcm, _ = to_pcm16(signal)
    buffer = BytesIO()
    soundfile.write(buffer, pcm, rate, format="WAV", subtype="PCM_16")
    wav = buffer.getvalue()
    return CutPrompt(
        wav=put(wav),
        sha256=hashlib.sha256(wav).hexdigest(),
        text=choice.text,
        seconds=round(pcm.size / rate, 3),
        snr_db=round(choice.offer.cut.snr_db, 1),
    )


def _samples(recordings: Sequence[Recording], offer: Offer) -> tuple[Signal, int]:
    """The samples of a cut, read again: a person's recordings together may not fit into memory."""
    signal, rate = read(recordings[offer.recording].path)
    return signal[offer.cut.start : offer.cut.end], rate


def read(path: str) -> tuple[Signal, int]:
    """The first two minutes of a recording, mono, at its own rate or at 24 kHz where that is higher.

    ValueError when it is no sound file or below 16 kHz; OSError when the file cannot be got at.
    """
    opened: Any = fsspec.open(path, "rb")
    with opened as file:
        try:
            with soundfile.SoundFile(file) as sound:
                rate = sound.samplerate
                samples = sound.read(MOST_SECONDS * rate, dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            raise ValueError(f"cannot be read: {' '.join(str(error).split())}") from None
    if rate < LOWEST_RATE:
        raise ValueError(f"has {rate} samples per second, fewer than {LOWEST_RATE}")
    mono = samples.mean(axis=1)
    if not np.isfinite(mono).all():
        raise ValueError("holds samples that are no numbers")
    return (_at_rate(mono, rate, HIGHEST_RATE), HIGHEST_RATE) if rate > HIGHEST_RATE else (mono, rate)


def _at_rate(signal: Signal, rate: int, wanted: int) -> Signal:
    return signal if rate == wanted else soxr.resample(signal, rate, wanted, quality="HQ")


def _name(recording: Recording) -> str:
    """The recording in a reason: its last folder and its name, which are the same on every machine."""
    return "/".join(PurePosixPath(recording.path).parts[-2:])
