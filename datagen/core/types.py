"""What crosses a file or a process: frozen types whose constructors refuse impossible states.

    Dialogue --annotate--> Script --synthesize--> VoicedScript --plan--> Plan --render--> two signals

Times are integer samples at 16 kHz, intervals half-open ``[start, end)``.
"""

from __future__ import annotations

import re
from typing import ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Speaker = Literal["user", "assistant"]
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
SPEAKERS: tuple[Speaker, ...] = ("user", "assistant")

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]")
MAX_TURN_CHARACTERS = 2_000
"""About two minutes of speech; longer turns cannot be part of a three-minute conversation."""


class Strict(BaseModel):
    """Frozen, no unknown fields: a bad state cannot be built."""

    model_config = ConfigDict(frozen=True, extra="forbid")


PART = re.compile(r"-p\d+$")


def whole_of(dialogue_id: str) -> str:
    """The dialogue that an id stands for, or stands for a part of: long ones are cut into ``-p0``, ``-p1``, ...

    >>> whole_of("moss-17-p2"), whole_of("moss-17")
    ('moss-17', 'moss-17')
    """
    return PART.sub("", dialogue_id)


def uncapitalised(word: str) -> str:
    """The word as it stands inside a sentence: a lower-case first letter, but not for I, I'm and abbreviations."""
    letters = re.search(r"[^\W\d_]+", word)
    if letters is None or letters.group() == "I" or (not letters.group()[1:].islower() and len(letters.group()) > 1):
        return word
    at = letters.start()
    return word[:at] + word[at].lower() + word[at + 1 :]


def other(speaker: Speaker) -> Speaker:
    """The other side of the conversation."""
    return "assistant" if speaker == "user" else "user"


class Turn(Strict):
    """What one speaker says before the other takes the floor, as it is to be spoken."""

    speaker: Speaker
    text: str

    @field_validator("text")
    @classmethod
    def _speakable(cls, text: str) -> str:
        if CONTROL.search(text):
            raise ValueError("text holds control characters; normalise it to one line of printable text")
        if not any(c.isalnum() for c in text):
            raise ValueError(f"text {text[:20]!r} has nothing to say; a turn needs at least one letter or digit")
        if len(text) > MAX_TURN_CHARACTERS:
            raise ValueError(f"text has {len(text)} characters, at most {MAX_TURN_CHARACTERS} fit a turn; split it")
        return text

    @property
    def words(self) -> list[str]:
        """Whitespace words; every word index in the project counts these."""
        return self.text.split()


class Dialogue(Strict):
    """A text dialogue as a source delivers it. Neighbouring turns have different speakers."""

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,127}$")
    """Letters, digits, dot and hyphen: file names and the exporters' ``id_role`` names are made of it."""
    use: Literal["script", "outline"] = "script"
    """script: the turns are spoken; outline: they are only what a writer (stage ``write``) starts from."""
    language: str = Field(min_length=2)
    domain: str = Field(min_length=1)
    source: str = Field(min_length=1)
    licence: str = Field(min_length=1)
    turns: tuple[Turn, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _alternates(self) -> Self:
        for index, (left, right) in enumerate(zip(self.turns, self.turns[1:], strict=False)):
            if left.speaker == right.speaker:
                raise ValueError(f"turns {index} and {index + 1} are both by the {left.speaker}; merge them")
        return self


class Unreadable(Strict):
    """A record a source could not turn into a dialogue: where it stands and what is wrong."""

    id: str
    where: str
    """File and line or record number."""
    reason: str


class Place(Strict):
    """A point between two words of a turn where a listener might react or the speaker might hesitate.

    The annotator (``llm/``) finds places; phenomena choose among them.
    """

    turn: int = Field(ge=0)
    after_word: int = Field(ge=0)
    """Index of the last word before the place."""
    kind: Literal["clause", "hesitation"]
    """clause: a thought has just ended but the turn goes on; hesitation: inside a thought."""
    text: str = ""
    """What to say there, where the annotator knows; else the phenomenon draws from the language's words."""


class Cue(Strict):
    """An annotated intention: what should happen at which word, not yet when."""

    phenomenon: str
    turn: int = Field(ge=0)
    actor: Speaker
    after_word: int = Field(ge=-1)
    """Index of the last word before the event; -1 where the event is not tied to a word."""
    text: str = ""
    """What is said, where the event has words of its own."""
    probability: float = Field(gt=0, le=1)
    """How likely the event was at this place, given that the place qualified. Sets the ceiling of any predictor."""


CueOrPlace = TypeVar("CueOrPlace", Cue, Place)


class Script(Strict):
    """A dialogue and its cues; while it is being annotated, also the places still open for cues."""

    dialogue: Dialogue
    cues: tuple[Cue, ...] = ()
    places: tuple[Place, ...] = ()

    @model_validator(mode="after")
    def _cues_fit(self) -> Self:
        for cue in self.cues:
            if cue.turn >= len(self.dialogue.turns):
                raise ValueError(f"cue {cue.phenomenon}: turn {cue.turn} does not exist")
            if cue.after_word >= len(self.dialogue.turns[cue.turn].words):
                raise ValueError(f"cue {cue.phenomenon}: turn {cue.turn} has no word {cue.after_word}")
        for place in self.places:
            if place.turn >= len(self.dialogue.turns):
                raise ValueError(f"place: turn {place.turn} does not exist")
            if place.after_word + 1 >= len(self.dialogue.turns[place.turn].words):
                raise ValueError(f"place: turn {place.turn} has no two words around word {place.after_word}")
        return self

    def insert(self, turn: int, after_word: int, text: str) -> Script:
        """The script with ``text`` spoken after a word of a turn (-1: before the first); cues and places keep their
        words. Before the first word, that word loses its capital: "Wait," + "What now?" = "Wait, what now?"."""
        words = self.dialogue.turns[turn].words
        if after_word < 0:
            words = [uncapitalised(words[0]), *words[1:]]
        spoken = " ".join([*words[: after_word + 1], text, *words[after_word + 1 :]])
        turns = list(self.dialogue.turns)
        turns[turn] = Turn(speaker=turns[turn].speaker, text=spoken)
        shift = len(text.split())

        def moved(item: CueOrPlace) -> CueOrPlace:
            later = item.turn == turn and item.after_word > after_word
            return item.model_copy(update={"after_word": item.after_word + shift}) if later else item

        return Script(
            dialogue=self.dialogue.model_copy(update={"turns": tuple(turns)}),
            cues=tuple(moved(cue) for cue in self.cues),
            places=tuple(moved(place) for place in self.places),
        )


class Prompt(Strict):
    """A recording of a voice that an engine clones it from."""

    aside: ClassVar[frozenset[str]] = frozenset({"path"})
    """What is no part of an identity: the file counts with its hash."""

    path: str
    """Wav or FLAC; a manifest may give it relative to its own folder."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the file: what identities hold in place of the path."""
    text: str = Field(min_length=1)
    """What is said in it, word for word."""
    seconds: float = Field(gt=0, le=30)


class Voice(Strict):
    """One synthetic or cloned speaker. ``split`` keeps train, validation and test speakers apart."""

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$")
    language: str
    split: Split
    origin: str
    licence: str
    consent: str = "not needed: no real person's voice"
    params: dict[str, str | int | float] = {}
    """What the engine needs to speak with this voice; each engine documents its keys."""
    prompts: tuple[Prompt, ...] = ()
    """For engines that clone: best first, 3 to 10 s each. The shortest one serves short texts such as backchannels."""


class Word(Strict):
    """One whitespace word on a clock."""

    text: str
    start: int
    end: int
    estimated: bool = False
    """True when the engine gave no time for it and the time was filled in by letter count."""

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.end < self.start:
            raise ValueError(f"word {self.text!r} ends at {self.end}, before it starts at {self.start}")
        return self

    def moved(self, offset: int) -> Word:
        """The same word, ``offset`` samples later."""
        return Word(text=self.text, start=self.start + offset, end=self.end + offset, estimated=self.estimated)


class Ingested(Strict):
    """A dialogue and the split it belongs to."""

    dialogue: Dialogue
    split: Split

    @property
    def id(self) -> str:
        return self.dialogue.id


class Annotated(Strict):
    """A script and its split."""

    script: Script
    split: Split

    @property
    def id(self) -> str:
        return self.script.dialogue.id


class Blob(Strict):
    """Where some bytes lie inside the pack that a stage wrote for a shard."""

    offset: int = Field(ge=0)
    nbytes: int = Field(ge=0)
