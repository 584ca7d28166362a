"""plan: a voiced script on the clock. No audio is read; statistics and previews need nothing more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Self

import numpy as np
from pydantic import AfterValidator, Field, SerializeAsAny, model_validator

from datagen.core.distributions import draw
from datagen.core.language import Timing
from datagen.core.mixing import Blocks, ClipLevels, Levels, plan_mix
from datagen.core.overlay import Scene, finish
from datagen.core.records import Dropped, Plan, Timeline, Utterance, VoicedScript
from datagen.core.rng import stream
from datagen.core.timeline import Layout, Unfit, assemble, lay
from datagen.core.types import Cue, Script, Strict
from datagen.core.units import from_ms, to_seconds
from datagen.kinds import KindConfig, Phenomenon, make
from datagen.stages.inputs import Inputs, Put

NAME = "plan"
VERSION = 2
UPSTREAM = ("synthesize",)
IN = VoicedScript


def _possible(limits: tuple[float, float]) -> tuple[float, float]:
    if not 0 <= limits[0] <= limits[1] < float("inf"):
        raise ValueError(f"range {limits}: give two lengths in ms, the shorter first")
    return limits


Silence = Annotated[tuple[float, float], AfterValidator(_possible)]


class Margins(Strict):
    """Silence around the conversation, and how long it may be in all."""

    lead_ms: Silence = (0.0, 800.0)
    """Before a conversation that the user opens."""
    opening_ms: Silence = (900.0, 1100.0)
    """Before one that the assistant opens. Longer than ``lead_ms``, and about as long every time: an assistant that
    hears nothing yet can only know by the silence itself that it is to begin."""
    tail_ms: Silence = (400.0, 1200.0)
    min_s: float = Field(default=3.0, gt=0)
    max_s: float = Field(default=180.0, gt=0)
    """RelayS2S section 3.2: 3 seconds to 3 minutes."""

    @model_validator(mode="after")
    def _possible_length(self) -> Self:
        if self.min_s > self.max_s:
            raise ValueError(f"min_s {self.min_s:g} is above max_s {self.max_s:g}; nothing would be left")
        return self


class Config(Strict):
    phenomena: tuple[SerializeAsAny[KindConfig], ...]
    timing: Timing
    margins: Margins
    levels: Levels
    blocks: Blocks
    seed: int


def process(record: VoicedScript, config: Config, inputs: Inputs, put: Put) -> Plan:
    """The record's plan; a conversation that is too short or too long is refused."""
    return plan(record, config, [c.levels for c in inputs.noise_clips.values()])


def plan(record: VoicedScript, config: Config, clips: Sequence[ClipLevels]) -> Plan:
    """The record's plan, given the noise bank. Pure."""
    timeline = _timeline(record, config)
    seconds = to_seconds(timeline.num_samples)
    if not config.margins.min_s <= seconds <= config.margins.max_s:
        limits = f"{config.margins.min_s:g} to {config.margins.max_s:g} s (margins.min_s, margins.max_s)"
        raise ValueError(f"lasts {seconds:.1f} s; conversations last {limits}")
    rng = stream(config.seed, record.id, "mix")
    mix = plan_mix(record.utterances, timeline.num_samples, config.levels, config.blocks, clips, rng)
    return Plan(voiced=record, timeline=timeline, mix=mix)


def _timeline(record: VoicedScript, config: Config) -> Timeline:
    phenomena: dict[str, Phenomenon] = {c.kind: make("phenomena", c) for c in config.phenomena}
    script, turns = record.script, record.script.dialogue.turns
    rng = stream(config.seed, record.id, "margins")
    before_ms = config.margins.lead_ms if turns[0].speaker == "user" else config.margins.opening_ms
    lead, tail = (_uniform(limits, rng) for limits in (before_ms, config.margins.tail_ms))
    layouts, dropped = _shaped(script, record.utterances, phenomena, config)
    dropped += record.unspoken
    asked = _offsets(script, config.timing, stream(config.seed, record.id, "offsets"))
    draft = assemble(layouts, [(t.speaker, t.text) for t in turns], asked, lead)
    scene = Scene(draft=draft)
    spoken = {u.cue: lay(number, u) for number, u in enumerate(record.utterances) if u.cue is not None}
    for number, cue in enumerate(script.cues):
        if any(d.cue is cue for d in dropped) or (cue.text and number not in spoken):
            continue
        try:
            overlay_rng = _cue_stream(config, record.id, "overlay", number)
            scene = phenomena[cue.phenomenon].overlay(cue, scene, spoken.get(number), config.timing, overlay_rng)
        except Unfit as reason:
            dropped.append(Dropped(cue=cue, reason=str(reason)))
    return finish(record.id, scene, tail, tuple(dropped))


def _shaped(
    script: Script, utterances: Sequence[Utterance], phenomena: dict[str, Phenomenon], config: Config
) -> tuple[list[Layout], list[Dropped]]:
    """Every turn's layout after its cues have changed it, and the cues that could not."""
    layouts = [lay(number, utterances[number]) for number in range(len(script.dialogue.turns))]
    dropped: list[Dropped] = []
    for number, cue in enumerate(script.cues):
        try:
            rng = _cue_stream(config, script.dialogue.id, "shape", number)
            layouts[cue.turn] = _phenomenon(phenomena, cue).shape(cue, layouts[cue.turn], config.timing, rng)
        except Unfit as reason:
            dropped.append(Dropped(cue=cue, reason=str(reason)))
    return layouts, dropped


def _phenomenon(phenomena: dict[str, Phenomenon], cue: Cue) -> Phenomenon:
    if cue.phenomenon not in phenomena:
        raise ValueError(f"cue {cue.phenomenon!r} has no phenomenon in the recipe; add one of that kind")
    return phenomena[cue.phenomenon]


def _cue_stream(config: Config, conversation_id: str, purpose: str, number: int) -> np.random.Generator:
    return stream(config.seed, conversation_id, f"{purpose}/{number}")


def _offsets(script: Script, timing: Timing, rng: np.random.Generator) -> list[int]:
    """The asked floor transfer offset before every turn but the first; one shift per conversation for the user."""
    dyad = from_ms(timing.dyad_sd_ms * float(rng.standard_normal()))
    return [
        draw(timing.assistant_onset, rng) if turn.speaker == "assistant" else draw(timing.user_onset, rng) + dyad
        for turn in script.dialogue.turns[1:]
    ]


def _uniform(limits_ms: tuple[float, float], rng: np.random.Generator) -> int:
    return from_ms(limits_ms[0] + (limits_ms[1] - limits_ms[0]) * float(rng.random()))
