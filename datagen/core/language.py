"""What the project needs to know of a language: all of it data, one YAML file per language in ``lang/``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from datagen.core.distributions import Distribution, Fixed, Uniform, lowest_ms
from datagen.core.types import Strict

ProfileName = Literal["paper", "polite", "natural"]


class Token(Strict):
    """A backchannel, filler or opener and how often it is chosen, relative to the others."""

    text: str = Field(min_length=1)
    weight: float = Field(gt=0, allow_inf_nan=False)

    @field_validator("text")
    @classmethod
    def _speakable(cls, text: str) -> str:
        if not any(c.isalnum() for c in text):
            raise ValueError(f"text {text!r} has nothing to say; give it a letter")
        return text


class Timing(Strict):
    """One profile's timing priors. Every value comes with its citation in ``sources``."""

    assistant_onset: Distribution
    """Floor transfer offset when the assistant takes over from the user."""
    user_onset: Distribution
    """Floor transfer offset when the user takes over from the assistant."""
    dyad_sd_ms: float = Field(ge=0, allow_inf_nan=False)
    """Standard deviation of a shift of all the user's offsets in a conversation: pairs differ more than turns do."""
    barge_in_overlap: Distribution
    """How long both are heard when the user cuts in: from the user's onset to the assistant's silence."""
    barge_in_cut: tuple[float, float]
    """The assistant is cut between these shares of its turn."""
    backchannel_delay: Distribution
    """From the end of the last word before the place to the backchannel's onset."""
    pause: Distribution
    """Silence put inside a turn where the speaker hesitates."""
    invitation: Distribution
    """Silence put after a clause where the speaker leaves room for a backchannel."""
    sources: dict[str, str]
    """Field name -> where the number comes from."""

    @model_validator(mode="after")
    def _cited(self) -> Timing:
        fields = set(type(self).model_fields) - {"sources"}
        if missing := sorted(fields - set(self.sources)):
            raise ValueError(f"sources: no citation for {', '.join(missing)}")
        if unknown := sorted(set(self.sources) - fields):
            raise ValueError(f"sources: no such field: {', '.join(unknown)}")
        return self

    @model_validator(mode="after")
    def _possible(self) -> Timing:
        for name, least in (("barge_in_overlap", 1.0), ("pause", 1.0), ("invitation", 0.0)):
            if (drawn := lowest_ms(getattr(self, name))) < least:
                raise ValueError(f"{name} can be {drawn:g} ms; raise its lower end to {least:g} ms or more")
        low, high = self.barge_in_cut
        if not 0 < low <= high <= 1:
            raise ValueError(f"barge_in_cut {self.barge_in_cut}: two rising shares of the turn, above 0 to 1")
        return self


class Reference(Strict):
    """Cited human figures the report draws beside ours."""

    text: str
    """What was measured, on what."""
    source: str
    fto_quantiles: tuple[tuple[float, float], ...] = ()
    """Pairs of (probability, ms) of floor transfer offsets."""
    backchannels_per_minute: float | None = None
    """Per listener."""
    yield_probability: float | None = None
    overlap_share: float | None = None
    """Share of floor changes that overlap."""


class Clauses(Strict):
    """Where a turn can be entered: the offline annotator's knowledge of the language."""

    openers: tuple[str, ...]
    """Words that start a new clause (and, but, because): a boundary lies before them."""
    closed: tuple[str, ...]
    """Words no one pauses after (articles, prepositions)."""


class Spelling(Strict):
    """How written text becomes speakable: literal replacements, in order."""

    replace: tuple[tuple[str, str], ...] = ()


class Language(Strict):
    """One language file."""

    code: str
    name: str
    words_per_minute: float = Field(gt=0)
    """Speaking rate assumed where no audio exists yet (previews)."""
    backchannels: tuple[Token, ...] = Field(min_length=1)
    fillers: tuple[Token, ...] = Field(min_length=1)
    interruption_openers: tuple[Token, ...] = Field(min_length=1)
    clauses: Clauses
    spelling: Spelling = Spelling()
    profiles: dict[Literal["polite", "natural"], Timing]
    human: tuple[Reference, ...] = Field(min_length=1)

    def timing(self, profile: ProfileName) -> Timing:
        """The priors of a profile; ``paper`` is the same in every language."""
        if profile == "paper":
            return PAPER
        if profile not in self.profiles:
            known = ", ".join(["paper", *self.profiles])
            raise ValueError(f"profile {profile!r} is not in lang/{self.code}.yaml; there are: {known}")
        return self.profiles[profile]


_SECTION_3 = "RelayS2S section 3"
PAPER = Timing(
    assistant_onset=Fixed(dist="fixed", ms=200),
    user_onset=Fixed(dist="fixed", ms=200),
    dyad_sd_ms=0,
    barge_in_overlap=Fixed(dist="fixed", ms=320),
    barge_in_cut=(0.2, 0.6),
    backchannel_delay=Fixed(dist="fixed", ms=200),
    pause=Uniform(dist="uniform", low_ms=500, high_ms=2000),
    invitation=Fixed(dist="fixed", ms=0),
    sources={
        "assistant_onset": f"{_SECTION_3}.1: default inter-turn silence of 200 ms",
        "user_onset": f"{_SECTION_3}.1: default inter-turn silence of 200 ms",
        "dyad_sd_ms": f"{_SECTION_3}.1: no variation between conversations",
        "barge_in_overlap": f"{_SECTION_3}.2: the user turn overlaps by 320 ms",
        "barge_in_cut": f"{_SECTION_3}.2: cut between 20 % and 60 % of the duration",
        "backchannel_delay": "not given in the paper; its inter-turn silence is used",
        "pause": f"{_SECTION_3}.2 says long pauses without a number; 0.5 to 2 s is our choice",
        "invitation": f"{_SECTION_3}.2: backchannels are laid over running speech",
    },
)
"""The paper's constants."""
