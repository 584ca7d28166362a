"""Timelines without audio: a recipe's texts at the language's speaking rate, for a quick look at the statistics."""

from __future__ import annotations

from collections.abc import Iterator

from datagen.blueprint import Blueprint
from datagen.core.records import Plan, Utterance, VoicedScript
from datagen.core.types import Annotated, Blob, Dialogue, Speaker, Unreadable, Voice
from datagen.core.units import from_ms
from datagen.core.words import estimate_words
from datagen.stages import annotate, ingest, plan, reason_of, synthesize
from datagen.stages.inputs import Inputs

NOMINAL_POWER = 0.01
"""Active power of an utterance nobody has spoken: -20 dBFS."""


def plans(blueprint: Blueprint) -> Iterator[Plan | Unreadable]:
    """Every conversation's plan, its word times estimated by letter count; refused ones with their reason."""
    ingest_config, annotate_config = blueprint.configs["ingest"], blueprint.configs["annotate"]
    synthesize_config, plan_config = blueprint.configs["synthesize"], blueprint.configs["plan"]
    assert isinstance(ingest_config, ingest.Config)
    assert isinstance(annotate_config, annotate.Config)
    assert isinstance(synthesize_config, synthesize.Config)
    assert isinstance(plan_config, plan.Config)
    for shard in range(ingest_config.num_shards):
        with Inputs("", {}, shard) as nothing:
            for record in ingest.records(ingest_config, shard, nothing):
                if isinstance(record, Unreadable):
                    yield record
                    continue
                try:
                    yield _planned(record, ingest_config, annotate_config, synthesize_config, plan_config, nothing)
                except ValueError as error:
                    yield Unreadable(id=record.id, where=record.source, reason=reason_of(error))


def _planned(
    dialogue: Dialogue,
    ingest_config: ingest.Config,
    annotate_config: annotate.Config,
    synthesize_config: synthesize.Config,
    plan_config: plan.Config,
    nothing: Inputs,
) -> Plan:
    ingested = ingest.process(dialogue, ingest_config, nothing, _no_audio)
    annotated = annotate.process(ingested, annotate_config, nothing, _no_audio)
    voiced = _voiced(annotated, synthesize_config, annotate_config.language.words_per_minute)
    return plan.plan(voiced, plan_config, clips=())


def _voiced(record: Annotated, config: synthesize.Config, words_per_minute: float) -> VoicedScript:
    """The script with utterances as long as their words take at the language's rate."""

    def speak(turn: int, cue: int | None, speaker: Speaker, text: str, voice: Voice) -> Utterance:
        words = estimate_words(text, words_per_minute)
        return Utterance(
            turn=turn,
            cue=cue,
            speaker=speaker,
            text=text,
            num_samples=max(words[-1].end, from_ms(100)),
            words=words,
            active_power=NOMINAL_POWER,
            peak=0.5,
        )

    return synthesize.voiced(record, config, speak)


def _no_audio(content: bytes) -> Blob:
    raise AssertionError("a preview writes no audio")
