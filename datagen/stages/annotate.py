"""annotate: where backchannels, pauses and interruptions are meant to happen."""

from __future__ import annotations

from pydantic import SerializeAsAny

from datagen.core.language import Language
from datagen.core.rng import stream
from datagen.core.types import Annotated, Ingested, Script, Strict
from datagen.kinds import Annotator, KindConfig, Phenomenon, make
from datagen.stages.inputs import Inputs, Put

NAME = "annotate"
VERSION = 1
UPSTREAM = "ingest"
IN = Ingested


class Config(Strict):
    annotator: SerializeAsAny[KindConfig]
    phenomena: tuple[SerializeAsAny[KindConfig], ...]
    language: Language
    seed: int


def process(record: Ingested, config: Config, inputs: Inputs, put: Put) -> Annotated:
    """The dialogue with its cues: the annotator finds places, each phenomenon in turn takes some of them."""
    annotator: Annotator = make("llm", config.annotator)
    script = Script(dialogue=record.dialogue, places=annotator.places(record.dialogue, config.language))
    for phenomenon_config in config.phenomena:
        phenomenon: Phenomenon = make("phenomena", phenomenon_config)
        rng = stream(config.seed, record.id, f"cue/{phenomenon_config.kind}")
        script = phenomenon.cue(script, config.language, rng)
    return Annotated(script=Script(dialogue=script.dialogue, cues=script.cues), split=record.split)
