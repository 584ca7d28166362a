"""Sizes and schedules: ``embedded`` for two CPU cores, ``small`` for one GPU, ``paper`` for the real thing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator

from datagen.core.types import Strict
from trainer.model._llm import LlmConfig, PretrainedLlm, RandomLlm
from trainer.model.encoder import EncoderConfig
from trainer.model.tower import TowerConfig
from trainer.targets import ClassWeights, Rules

Freezing = Literal["nothing", "llm", "tower", "released", "released and llm"]
"""What stays as it is. ``released``: as in the published checkpoint, the front end, the embedding, blocks of the lower
half and the final norm (MODEL-SPEC D3); the paper's text trains everything in stage 2."""


class Schedule(Strict):
    """One stage's training."""

    steps: int = Field(ge=1)
    batch_seconds: float = Field(gt=0)
    """Audio in a batch, padding included."""
    accumulate: int = Field(default=1, ge=1)
    lr: float = Field(gt=0)
    warmup_steps: int = Field(default=0, ge=0)
    decay: Literal["constant", "cosine"] = "constant"
    weight_decay: float = Field(default=0.0, ge=0)
    clip: float = Field(default=1.0, gt=0)
    freeze: Freezing = "nothing"
    optimiser: Literal["adamw", "muon"] = "adamw"
    """``muon`` for random weights, see ``trainer.stages.optimizer``."""
    letters: float = Field(default=0.0, ge=0)
    """Weight of the auxiliary loss: the letter that each encoder frame hears. Random encoders need it; trained ones do
    not."""
    words: float = Field(default=0.0, ge=0)
    """Weight of the auxiliary loss: the words that each speech vector hears end, see ``trainer.stages.wording``."""
    notes: float = Field(default=0.0, ge=0)
    """Weight of the same words in the language model's hidden states: it is to remember what it has heard."""
    transcribe: float = Field(default=0.0, ge=0)
    """Weight of the transcription by the language model: all of stage 1, and in stage 2 what keeps it."""
    excerpts: bool = False
    """Learn from what each side says, without the silence: for stage 1, see ``trainer.data.excerpts``."""
    remembered: int = Field(default=0, ge=0)
    """The tower stays as it is: its speech vectors are kept in so many variants, see ``trainer.stages.hearing``."""
    retimed: bool = False
    """Remembered conversations are told on another clock in every epoch, see ``trainer.stages.retiming``."""
    dialogues: int = Field(default=0, ge=0)
    """Learn from so many written dialogues, see ``trainer.stages.imagining``; the tower stays as it is."""
    silence: float = Field(default=1.0, ge=0)
    """What [SIL] and [HOD] count in this stage, times the preset's weights: the timing of written dialogues is made
    up."""
    deafened: float = Field(default=0.0, ge=0, le=1)
    """Share of the assistant's turns that are learned without hearing the user: drafts are made so."""
    stretch: float = Field(default=0.0, ge=0, le=0.3)
    """Other throats for the voices heard, see ``trainer.stages.throats``."""
    hidden_bins: int = Field(default=0, ge=0, le=40)
    """Neighbouring mel bins that are hidden at most."""
    save_steps: int = Field(default=500, ge=1)

    @model_validator(mode="after")
    def _remembers(self) -> Schedule:
        if (self.remembered or self.dialogues) and (self.freeze != "tower" or self.letters or self.excerpts):
            raise ValueError("remembered speech and dialogues need freeze: tower, letters: 0 and excerpts: false")
        return self


class Preset(Strict):
    """Everything that decides a fast path beside its data and its seed."""

    name: str
    tower: TowerConfig
    llm: LlmConfig
    vocabulary: int | None = Field(default=None, ge=260)
    """Tokens of a tokenizer trained on the data's texts; None: the one that belongs to the pretrained model."""
    eos: str | None = None
    """The token that ends a text, where it is not the tokenizer's own."""
    rules: Rules = Rules()
    weights: ClassWeights = ClassWeights()
    bf16: bool = False
    encoder: Schedule
    """Stage 1."""
    reading: Schedule | None = None
    """Between the stages, for a language model from random weights: it learns to converse from written dialogues."""
    duplex: Schedule
    """Stage 2."""

    @model_validator(mode="after")
    def _reads(self) -> Preset:
        if self.reading is not None and not self.reading.dialogues:
            raise ValueError("reading.dialogues is 0; give how many, or leave reading out")
        return self


EMBEDDED = Preset(
    name="embedded",
    tower=TowerConfig(
        encoder=EncoderConfig(
            width=144, blocks=6, heads=4, ffn=576, order="rotary", scaled=False, dropout=0.0, channels=32
        ),
        inner=288,
        out=256,
    ),
    llm=RandomLlm(hidden=256, layers=5, heads=4, kv_heads=2, ffn=768),
    vocabulary=4096,
    rules=Rules(interrupted="written", answer_ms=270, nod_ms=220, stop_ms=480),
    weights=ClassWeights(sil=1.0, hod=1.0),
    bf16=True,
    encoder=Schedule(
        steps=1300,
        batch_seconds=120,
        lr=4e-3,
        warmup_steps=30,
        decay="cosine",
        optimiser="muon",
        letters=1.0,
        words=1.0,
        excerpts=True,
        stretch=0.1,
        hidden_bins=4,
    ),
    reading=Schedule(
        steps=1000,
        batch_seconds=250,
        lr=8e-3,
        warmup_steps=30,
        decay="cosine",
        freeze="tower",
        dialogues=8000,
        silence=0.1,
        optimiser="muon",
        notes=0.2,
        deafened=0.4,
    ),
    duplex=Schedule(
        steps=1500,
        batch_seconds=200,
        lr=2.5e-3,
        warmup_steps=40,
        decay="cosine",
        freeze="tower",
        remembered=2,
        retimed=True,
        optimiser="muon",
        notes=0.5,
        deafened=0.4,
        stretch=0.1,
        hidden_bins=4,
    ),
)
"""7.2 million parameters, from random weights, half an hour on two CPU cores (12.6 hours of conversation).

Stage 1 teaches the tower alone, by frames and ticks whose labels are known: a step takes half as long as with
transcription by the language model, and 1,300 of them bring the words that the ticks hear to 82 % in voices that were
never heard. Stage 2 teaches the language model, on speech vectors that were encoded once and are told on another
clock in every epoch: without, the model found 99 % of the barge-ins that it had learned from and 65 % of others.

Labels stand where an oracle would put them on the ``polite`` profile (the ceilings of Table 3), [STP] 60 ms later: from
the speech vectors up to two ticks after the user's onset, a classifier tells barge-ins from backchannels and silence
with an F1 of 82 %, up to three ticks after it with 91 %.

Where the run has texts, the language model reads 8,000 written dialogues in between, which takes 7 to 10 minutes more:
with all eighteen domains of the English grammar, before conversations were retimed, 31 % of five-word prefixes at the
recorded [BOS] were valid and not 21, but turns were taken less well ([BOS] F1 69 and not 74)."""

SMALL = Preset(
    name="small",
    tower=TowerConfig(encoder=EncoderConfig(width=384, blocks=12, heads=6, ffn=1536), inner=768, out=896),
    llm=PretrainedLlm(name="Qwen/Qwen2.5-0.5B"),
    eos="<|endoftext|>",
    bf16=True,
    encoder=Schedule(
        steps=6_000,
        batch_seconds=300,
        lr=5e-4,
        warmup_steps=300,
        decay="cosine",
        freeze="llm",
        letters=0.5,
        transcribe=1.0,
    ),
    duplex=Schedule(steps=8_000, batch_seconds=300, lr=1e-4, warmup_steps=300, decay="cosine", letters=0.1),
)
"""A new encoder before a trained language model."""

PAPER = Preset(
    name="paper",
    tower=TowerConfig(encoder=EncoderConfig(width=1024, blocks=24, heads=16, ffn=4096), inner=2048, out=896),
    llm=PretrainedLlm(name="Qwen/Qwen2.5-0.5B"),
    eos="<|endoftext|>",
    bf16=True,
    encoder=Schedule(
        steps=100_000,
        batch_seconds=300,
        accumulate=2,
        lr=2e-5,
        freeze="released and llm",
        transcribe=1.0,
        save_steps=10_000,
    ),
    duplex=Schedule(steps=100_000, batch_seconds=300, accumulate=2, lr=3e-5, freeze="released", save_steps=10_000),
)
"""RelayS2S section 4.1 and the public code (MODEL-SPEC section 7); start it from Freeze-Omni's encoder and adapter."""

PRESETS: Mapping[str, Preset] = {preset.name: preset for preset in (EMBEDDED, SMALL, PAPER)}


def preset(name: str) -> Preset:
    """A preset by name; ValueError names those there are."""
    if name not in PRESETS:
        raise ValueError(f"preset {name!r} is unknown; there are: {', '.join(PRESETS)}")
    return PRESETS[name]
