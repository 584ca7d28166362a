"""synthesize: two voices of the split, and every turn and spoken cue as an utterance with word times."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import Field, SerializeAsAny

from datagen.core.audio import active_power, from_pcm16, peak
from datagen.core.records import Utterance, VoicedScript
from datagen.core.rng import key, stream
from datagen.core.types import Annotated, Script, Speaker, Split, Strict, Voice
from datagen.kinds import Engine, KindConfig, make
from datagen.stages.inputs import Inputs, Put

NAME = "synthesize"
VERSION = 1
UPSTREAM = "annotate"
IN = Annotated
JOURNALED = True
"""Engines are native code: a record that kills its process must be found."""

Speak = Callable[[int, int | None, Speaker, str, Voice], Utterance]
"""Makes the utterance of a line: turn, cue or None, speaker, text, voice."""


class Config(Strict):
    tts: SerializeAsAny[KindConfig]
    voices: tuple[Voice, ...] = Field(min_length=1)
    seed: int


def cast(voices: Sequence[Voice], split: Split, seed: int, conversation_id: str) -> tuple[Voice, Voice]:
    """Two different voices of the split, user's first."""
    pool = [v for v in voices if v.split == split]
    if len(pool) < 2:
        raise ValueError(f"voices: the {split} split has {len(pool)}, a conversation needs two")
    first, second = stream(seed, conversation_id, "voices").choice(len(pool), size=2, replace=False)
    return pool[int(first)], pool[int(second)]


def lines(script: Script) -> list[tuple[int, int | None, Speaker, str]]:
    """What is to be spoken: (turn, cue or None, speaker, text), turns first, then the cues that speak."""
    turns: list[tuple[int, int | None, Speaker, str]] = [
        (number, None, turn.speaker, turn.text) for number, turn in enumerate(script.dialogue.turns)
    ]
    return turns + [(cue.turn, number, cue.actor, cue.text) for number, cue in enumerate(script.cues) if cue.text]


def voiced(record: Annotated, config: Config, speak: Speak) -> VoicedScript:
    """The script with its two voices, and what ``speak`` makes of every line."""
    user, assistant = cast(config.voices, record.split, config.seed, record.id)
    return VoicedScript(
        script=record.script,
        split=record.split,
        user_voice=user,
        assistant_voice=assistant,
        utterances=tuple(
            speak(turn, cue, speaker, text, user if speaker == "user" else assistant)
            for turn, cue, speaker, text in lines(record.script)
        ),
    )


def process(record: Annotated, config: Config, inputs: Inputs, put: Put) -> VoicedScript:
    """The script with its voices and utterances; the samples go to the pack."""
    engine: Engine = make("tts", config.tts)

    def speak(turn: int, cue: int | None, speaker: Speaker, text: str, voice: Voice) -> Utterance:
        seed = key(config.seed, record.id, f"speech/{turn}/{'turn' if cue is None else cue}")
        speech = engine.synthesize(text, voice, seed)
        signal = from_pcm16(speech.pcm)
        return Utterance(
            turn=turn,
            cue=cue,
            speaker=speaker,
            text=text,
            num_samples=speech.pcm.size,
            words=speech.words,
            active_power=active_power(signal, [(w.start, w.end) for w in speech.words]),
            peak=peak(signal),
            pcm=put(speech.pcm.astype("<i2", copy=False).tobytes()),
        )

    return voiced(record, config, speak)
