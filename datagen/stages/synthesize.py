"""synthesize: two voices of the split, and every turn and spoken cue as an utterance with word times.

Every clip is judged before it is used (``stages/studio``). A turn that cannot be spoken well refuses its conversation;
a cue that cannot be, such as a backchannel, is dropped with its reason and the conversation goes on without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from pydantic import Field, SerializeAsAny

from datagen.core.acceptance import Acceptance
from datagen.core.audio import active_power, from_pcm16, peak
from datagen.core.records import Dropped, Utterance, VoicedScript
from datagen.core.rng import stream
from datagen.core.types import Annotated, Script, Speaker, Split, Strict, Voice
from datagen.kinds import KindConfig, NotYet
from datagen.stages.inputs import Inputs, Put
from datagen.stages.studio import Bank, Clip, Line, Refused, Studio

NAME = "synthesize"
VERSION = 2
UPSTREAM = ("annotate",)
IN = Annotated
JOURNALED = True
"""Engines are native code: a record that kills its process must be found."""

Speak = Callable[[int, int | None, Speaker, str, Voice], Utterance]
"""Makes the utterance of a line: turn, cue or None, speaker, text, voice."""


class Config(Strict):
    tts: SerializeAsAny[KindConfig]
    voices: tuple[Voice, ...] = Field(min_length=1)
    acceptance: Acceptance = Acceptance()
    asr: SerializeAsAny[KindConfig] | None = None
    aligner: SerializeAsAny[KindConfig] | None = None
    bank: Bank | None = None
    language: str = "en"
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
    return spoken(record, config, Studio.of(config, inputs), put)


def spoken(record: Annotated, config: Config, studio: Studio, put: Put) -> VoicedScript:
    """What a studio makes of the script. ValueError when a turn cannot be spoken, NotYet when clips are still to be
    made elsewhere."""
    user, assistant = cast(config.voices, record.split, config.seed, record.id)
    to_say = [
        Line(record.id, turn, cue, speaker, text, user if speaker == "user" else assistant)
        for turn, cue, speaker, text in lines(record.script)
    ]
    utterances: list[Utterance] = []
    unspoken: list[Dropped] = []
    for line, clip in zip(to_say, _clips(to_say, studio), strict=True):
        if isinstance(clip, Clip):
            utterances.append(_utterance(line, clip, put))
        elif line.cue is None:
            raise ValueError(f"turn {line.turn}: {clip}")
        else:
            unspoken.append(Dropped(cue=record.script.cues[line.cue], reason=str(clip)))
    return VoicedScript(
        script=record.script,
        split=record.split,
        user_voice=user,
        assistant_voice=assistant,
        utterances=tuple(utterances),
        unspoken=tuple(unspoken),
    )


def _clips(to_say: Sequence[Line], studio: Studio) -> Iterator[Clip | Refused]:
    """The lines' clips in order, as many at a time as the engine takes. What is still to be made elsewhere is asked for
    all at once."""

    def clip(line: Line) -> Clip | Refused | NotYet:
        try:
            return studio.clip(line)
        except (Refused, NotYet) as reason:
            return reason

    if studio.parallel == 1:
        found = [clip(line) for line in to_say]
    else:
        with ThreadPoolExecutor(studio.parallel) as pool:
            found = list(pool.map(clip, to_say))
    if waiting := [f for f in found if isinstance(f, NotYet)]:
        raise NotYet.together(waiting)
    return (f for f in found if not isinstance(f, NotYet))


def _utterance(line: Line, clip: Clip, put: Put) -> Utterance:
    signal = from_pcm16(clip.pcm)
    return Utterance(
        turn=line.turn,
        cue=line.cue,
        speaker=line.speaker,
        text=line.text,
        num_samples=clip.pcm.size,
        words=clip.words,
        active_power=active_power(signal, [(w.start, w.end) for w in clip.words]),
        peak=peak(signal),
        pcm=put(clip.pcm.astype("<i2", copy=False).tobytes()),
        attempts=clip.attempts,
        wer=clip.wer,
    )
