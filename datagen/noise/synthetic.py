"""Urban-like background noise computed on the spot: no recordings, no licences to clear, no network.

Eight scenes, each with as many clips as asked for. A clip depends only on the config, its id and the seed; it is not a
loop and is made anew at every read (some tens of milliseconds), so keep the result where it is used twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Self, get_args

import numpy as np
import numpy.typing as npt
from pydantic import Field, SerializeAsAny, field_validator, model_validator

from datagen import kinds
from datagen.core.rng import stream
from datagen.core.types import Voice
from datagen.core.units import SAMPLE_RATE
from datagen.kinds import Clip, Engine, KindConfig
from datagen.noise import _scenes, _voices
from datagen.noise._shaping import Signal, colour, finish, sculpted, spectrum, unit

Scene = Literal["traffic", "wind", "ventilation", "cafe", "babble", "rain", "metro", "keyboard"]
SCENES: tuple[Scene, ...] = get_args(Scene)
ALONE: dict[Scene, Callable[[np.random.Generator, int], Signal]] = {
    "traffic": _scenes.traffic,
    "wind": _scenes.wind,
    "ventilation": _scenes.ventilation,
    "rain": _scenes.rain,
    "metro": _scenes.metro,
    "keyboard": _scenes.keyboard,
}
"""The scenes without voices."""

SENTENCES: dict[str, tuple[str, ...]] = {
    "en": (
        "I told him the same thing last week, but he never listens.",
        "Could you pass me the menu, please?",
        "We took the early train and were there before nine.",
        "No, the other one, next to the post office.",
        "She has been working from home since the spring.",
        "That sounds lovely, let's do it on Saturday.",
        "It was much colder than anyone had expected.",
        "Have you heard anything from your brother?",
        "They moved the whole meeting to the afternoon.",
        "Honestly, I would have said exactly the same.",
    ),
    "de": (
        "Das habe ich ihm letzte Woche auch schon gesagt.",
        "Können wir bitte noch zwei Kaffee bekommen?",
        "Wir sind mit dem frühen Zug gefahren und waren vor neun da.",
        "Nein, die andere Straße, gleich neben der Post.",
        "Seit dem Frühling arbeitet sie meistens zu Hause.",
        "Das klingt gut, machen wir es am Samstag.",
        "Es war viel kälter, als alle gedacht hatten.",
        "Hast du etwas von deinem Bruder gehört?",
    ),
    "es": (
        "Se lo dije la semana pasada, pero nunca escucha.",
        "¿Me pasas la carta, por favor?",
        "Tomamos el primer tren y llegamos antes de las nueve.",
        "No, la otra calle, al lado de correos.",
        "Trabaja desde casa desde la primavera.",
        "Me parece muy bien, lo hacemos el sábado.",
        "Hacía mucho más frío de lo que pensábamos.",
        "¿Has sabido algo de tu hermano?",
    ),
    "fr": (
        "Je le lui ai dit la semaine dernière, mais il n'écoute jamais.",
        "Tu me passes la carte, s'il te plaît ?",
        "Nous avons pris le premier train et nous étions là avant neuf heures.",
        "Non, l'autre rue, juste à côté de la poste.",
        "Elle travaille chez elle depuis le printemps.",
        "Très bonne idée, on fait ça samedi.",
        "Il faisait bien plus froid que prévu.",
        "Tu as des nouvelles de ton frère ?",
    ),
}
"""Everyday sentences for babble, written for this file."""


class Config(KindConfig):
    """What to make. Without ``babble_tts`` the voices are formant noises that need no engine."""

    kind: Literal["synthetic"] = "synthetic"
    scenes: tuple[Scene, ...] = Field(default=SCENES, min_length=1)
    clips_per_scene: int = Field(default=6, ge=1, le=10_000)
    clip_seconds: int = Field(default=12, ge=2, le=120)
    licence: str = Field(default="CC0-1.0", min_length=1)
    """Of every clip; clips with TTS voices add the voices' licences."""
    babble_tts: SerializeAsAny[KindConfig] | None = None
    """A mapping of the family ``tts``, for example ``{kind: espeak}``."""
    babble_voices: tuple[Voice, ...] = ()
    """Who speaks in ``babble`` and ``cafe``; choose voices that speak in no dialogue."""
    babble_sentences: dict[str, tuple[str, ...]] = SENTENCES
    """Language of a voice -> what it says."""

    @field_validator("babble_tts", mode="before")
    @classmethod
    def _engine(cls, raw: object) -> object:
        return kinds.parse("tts", raw) if isinstance(raw, dict) else raw

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.scenes)) != len(self.scenes):
            raise ValueError(f"scenes: {', '.join(self.scenes)} names a scene twice; name each once")
        if (self.babble_tts is None) == bool(self.babble_voices):
            raise ValueError("babble_tts and babble_voices go together: give both, or neither for voices without a TTS")
        for voice in self.babble_voices:
            if not self.sentences(voice):
                raise ValueError(
                    f"babble_sentences has nothing in {voice.language!r} for voice {voice.id}; add that language"
                )
        return self

    def sentences(self, voice: Voice) -> tuple[str, ...]:
        """What a voice says: the sentences of its language, or of the language without its region."""
        by_language = self.babble_sentences
        return by_language.get(voice.language) or by_language.get(voice.language.split("-")[0]) or ()


class Synthetic:
    """The noise source; holds nothing but its config."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._scenes: dict[str, Scene] = {scene: scene for scene in config.scenes}

    def clips(self) -> Sequence[Clip]:
        """Every scene's clips in turn: all scenes' first clips, then all second ones."""
        return [
            Clip(f"synthetic-{scene}-{number:03d}", scene, self._licence(scene), "computed by datagen")
            for number in range(self.config.clips_per_scene)
            for scene in self.config.scenes
        ]

    def read(self, clip: Clip, seed: int) -> npt.NDArray[np.float32]:
        """``clip_seconds`` of mono samples at 16 kHz with an RMS of 0.05 and no peak above 0.9.

        Raises ValueError when the clip is not of a scene of this source.
        """
        scene = self._scenes.get(clip.scene)
        if scene is None or not clip.id.startswith(f"synthetic-{scene}-"):
            raise ValueError(f"clip {clip.id!r} is not one of the synthetic scenes {', '.join(self.config.scenes)}")
        rng = stream(seed, clip.id, "noise.scene")
        n = self.config.clip_seconds * SAMPLE_RATE
        alone = ALONE.get(scene)
        sound = alone(rng, n) if alone else self._voiced(scene, rng, n)
        return finish(sound, colour(rng))

    def _licence(self, scene: Scene) -> str:
        voices = {v.licence for v in self.config.babble_voices} if scene not in ALONE else set()
        return " AND ".join(sorted({self.config.licence, *voices}))

    def _voiced(self, scene: Scene, rng: np.random.Generator, n: int) -> Signal:
        if scene == "babble":
            crowd = self._crowd(rng, n, int(rng.integers(5, 10)))
            air = sculpted(rng, n, spectrum(_scenes.ROOM_AIR))
            return crowd + unit(air, rng.uniform(-30, -22))
        return self._crowd(rng, n, int(rng.integers(3, 6))) + _scenes.clatter(rng, n)

    def _crowd(self, rng: np.random.Generator, n: int, speakers: int) -> Signal:
        if self.config.babble_tts is None:
            return _voices.crowd(rng, n, speakers)
        voices = self.config.babble_voices
        order = [voices[i % len(voices)] for i in rng.permutation(max(speakers, len(voices)))[:speakers]]
        engine: Engine = kinds.make("tts", self.config.babble_tts)
        total = np.zeros(n, np.float32)
        for voice in order:
            total += self._talk(engine, voice, rng, n)
        return _voices.echoing(rng, total)

    def _talk(self, engine: Engine, voice: Voice, rng: np.random.Generator, n: int) -> Signal:
        """One voice saying sentences in a random order with pauses between them, forwards or backwards."""
        sentences = self.config.sentences(voice)
        order = rng.permutation(len(sentences))
        pieces: list[Signal] = []
        lacking = n + int(rng.integers(0, SAMPLE_RATE))
        while lacking > 0:
            text = sentences[order[len(pieces) % len(order)]]
            pcm = engine.synthesize(text, voice, int(rng.integers(2**31))).pcm
            pause = np.zeros(int(rng.uniform(0.1, 1.5) * SAMPLE_RATE), np.float32)
            pieces.append(np.concatenate([pcm.astype(np.float32) / 32768, pause]))
            lacking -= len(pieces[-1])
        talk = np.concatenate(pieces)[-n:]
        backwards = rng.random() < 0.4
        return unit(talk[::-1] if backwards else talk, rng.normal(0, 3))


def make(config: Config) -> Synthetic:
    """The source of a config. The TTS engine, if any, is loaded when the first voice speaks."""
    return Synthetic(config)
