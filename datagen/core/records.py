"""What the later stages hand on: utterances, the timeline they are laid on, and what was rendered from it.

Frozen types whose constructors refuse impossible states. Times are integer samples at 16 kHz, intervals half-open.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from datagen.core.types import Blob, Cue, Script, Speaker, Split, Strict, Voice, Word


class Utterance(Strict):
    """One synthesised piece of speech: a turn, or the words of a cue."""

    turn: int = Field(ge=0)
    cue: int | None = None
    """Index into the script's cues when this is not the turn itself."""
    speaker: Speaker
    text: str
    num_samples: int = Field(gt=0)
    words: tuple[Word, ...]
    """Times from the start of the utterance."""
    active_power: float = Field(gt=0)
    """Mean square over the words' samples, full scale = 1."""
    peak: float = Field(gt=0, le=1)
    pcm: Blob | None = None
    """16-bit little-endian samples in the synthesize pack; None in previews without audio."""
    attempts: int = 1
    """How many clips were made until one was accepted."""
    wer: float | None = None
    """Word errors of the recogniser per word; None where nobody listened."""

    @model_validator(mode="after")
    def _words_inside(self) -> Self:
        for left, right in zip(self.words, self.words[1:], strict=False):
            if right.start < left.end:
                raise ValueError(f"words {left.text!r} and {right.text!r} overlap")
        if self.words and (self.words[0].start < 0 or self.words[-1].end > self.num_samples):
            raise ValueError(f"words reach beyond the {self.num_samples} samples of the utterance")
        if [w.text for w in self.words] != self.text.split():
            raise ValueError("words differ from the text")
        return self


class Dropped(Strict):
    """A cue that could not be realised, and why."""

    cue: Cue
    reason: str


class VoicedScript(Strict):
    """A script with its voices and its utterances: one per turn in turn order, then one per cue that speaks and could
    be spoken."""

    script: Script
    split: Split
    user_voice: Voice
    assistant_voice: Voice
    utterances: tuple[Utterance, ...]
    unspoken: tuple[Dropped, ...] = ()
    """Cues no acceptable clip could be made for."""

    @property
    def id(self) -> str:
        return self.script.dialogue.id


SegmentKind = Literal["turn", "backchannel"]


class Piece(Strict):
    """A stretch ``[start, end)`` of an utterance that sounds from ``at`` on."""

    start: int = Field(ge=0)
    end: int
    at: int = Field(ge=0)

    @model_validator(mode="after")
    def _sounds(self) -> Self:
        if self.end <= self.start:
            raise ValueError(f"a piece from sample {self.start} to {self.end} is empty")
        return self

    @property
    def stop(self) -> int:
        """First sample of the conversation after the piece."""
        return self.at + self.end - self.start


class Segment(Strict):
    """An utterance on the clock, possibly with pauses inside (several pieces) or cut short (``yielded``)."""

    speaker: Speaker
    kind: SegmentKind
    turn: int
    utterance: int
    pieces: tuple[Piece, ...] = Field(min_length=1)
    text: str
    """The words that are audible."""
    text_full: str
    """The words as written."""
    words: tuple[Word, ...]
    """The audible words, on the conversation's clock."""
    yielded: bool = False

    @property
    def start(self) -> int:
        return self.pieces[0].at

    @property
    def end(self) -> int:
        return self.pieces[-1].stop


class Event(Strict):
    """Something that happened on the clock: a backchannel, a barge-in, a pause."""

    type: str
    actor: Speaker
    start: int
    end: int
    target: int
    """Index of the segment it happened in or to."""
    outcome: str
    """backchannel: floor kept; barge_in: yielded or ignored; pause: turn kept; invitation: answered or unanswered."""
    probability: float = Field(gt=0, le=1)

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.end < self.start:
            raise ValueError(f"the {self.type} event ends at {self.end}, before it starts at {self.start}")
        return self


class Transition(Strict):
    """A change of the floor between two turns: the offset that was asked for and the one that was possible."""

    before: int
    """Index of the segment that held the floor."""
    after: int
    asked: int
    """Samples from the end of the turn before to the start of the turn after; negative = overlap."""
    achieved: int
    kind: Literal["smooth", "barge_in"]

    @property
    def clipped(self) -> bool:
        return self.asked != self.achieved


class Timeline(Strict):
    """A whole conversation on the clock, without audio. Segments are ordered by start."""

    id: str
    num_samples: int = Field(gt=0)
    segments: tuple[Segment, ...]
    events: tuple[Event, ...] = ()
    transitions: tuple[Transition, ...] = ()
    dropped: tuple[Dropped, ...] = ()

    @model_validator(mode="after")
    def _possible(self) -> Self:
        free_from: dict[Speaker, int] = {"user": 0, "assistant": 0}
        for segment in self.segments:
            for piece in segment.pieces:
                if piece.at < free_from[segment.speaker]:
                    raise ValueError(f"the {segment.speaker} overlaps itself at sample {piece.at}")
                free_from[segment.speaker] = piece.stop
        if any(a.start > b.start for a, b in zip(self.segments, self.segments[1:], strict=False)):
            raise ValueError("segments are not in order of start")
        if max(free_from.values()) > self.num_samples:
            raise ValueError("a segment ends after the conversation")
        return self


class NoiseBlock(Strict):
    """A stretch of a noise clip under the user's channel."""

    clip: str
    clip_start: int = Field(ge=0)
    start: int = Field(ge=0)
    end: int
    snr_db: float
    """Speech over noise, speech measured over the user's words, noise over the block with its fades."""

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.end <= self.start:
            raise ValueError(f"noise block {self.clip} is empty")
        return self


class Mix(Strict):
    """Levels: what render multiplies and adds."""

    user_gain: float = Field(gt=0)
    assistant_gain: float = Field(gt=0)
    floor_rms: float = Field(gt=0)
    """RMS of the noise floor under the whole user channel, full scale = 1."""
    noise: tuple[NoiseBlock, ...] = ()


class Plan(Strict):
    """Everything render needs besides the samples."""

    voiced: VoicedScript
    timeline: Timeline
    mix: Mix

    @property
    def id(self) -> str:
        return self.timeline.id


class Quality(Strict):
    """What was measured on the rendered conversation. None: not measured."""

    wer: float | None = None
    token_overflow: float | None = None
    clipped_samples: int
    user_peak: float
    assistant_peak: float
    user_speech_dbfs: float
    assistant_speech_dbfs: float
    floor_dbfs: float
    words_estimated: float
    """Share of the words whose times the engine did not give."""
    fto_clipped: int
    """Floor changes whose asked offset was not possible."""
    cues_dropped: int


class Measured(Strict):
    """What was measured on the two finished signals."""

    user_peak: float
    assistant_peak: float
    longest_zero_run: int
    """Samples of exact digital silence in a row, in the user's channel."""
    outside_power: float
    """Of the assistant's channel where it says nothing, full scale = 1."""
    click: float
    """``audio.clicks`` at the worst place where the assistant's speech was parted or cut."""


class Rendered(Strict):
    """A plan with its two signals as FLAC and what was realised."""

    plan: Plan
    user_flac: Blob
    assistant_flac: Blob
    snr_db: tuple[float, ...]
    """Realised, per noise block."""
    user_speech_power: float
    assistant_speech_power: float
    clipped_samples: int
    measured: Measured
    scale: float
    """What the user channel was multiplied with to avoid clipping; 1 = untouched."""

    @property
    def id(self) -> str:
        return self.plan.id


class Checked(Strict):
    """A rendered conversation that passed every check."""

    rendered: Rendered
    quality: Quality

    @property
    def id(self) -> str:
        return self.rendered.id
